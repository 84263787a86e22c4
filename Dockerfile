# The page in a container: docker build -t lungapp . && docker compose up -d  (docs/hosting.md)
# With --build-arg PACKAGES=serve without TensorFlow, and so without the explanations that need a model's gradients.
FROM python:3.11-slim AS build
ARG PACKAGES=app
COPY hosting/build_venv.sh requirements-app.txt requirements-serve.txt /
RUN sh /build_venv.sh /requirements-${PACKAGES}.txt /venv

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin lungapp
COPY --from=build /venv /venv
WORKDIR /app
COPY app.py README.md LICENSE /app/
COPY lungapp /app/lungapp
COPY weights /app/weights
COPY examples /app/examples
RUN /venv/bin/python -m compileall -q /app
ENV PATH=/venv/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 GRADIO_ANALYTICS_ENABLED=False TF_CPP_MIN_LOG_LEVEL=2
USER 10001:10001
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=4)"]
CMD ["python", "app.py"]
