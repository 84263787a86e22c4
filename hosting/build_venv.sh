#!/bin/sh
# The Python environment of an image: build_venv.sh requirements-app.txt /venv
# The Dockerfile runs it; `make image-steps` does without a container engine.
set -eu
lock=$1 venv=$2
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r "$lock"
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# Never run: TensorFlow's headers for C++, and the libclang that it names. 350 MB.
rm -rf "$packages/tensorflow/include" "$packages/clang"
# Imported once, so that bytecode and what Gradio writes beside itself are there: the running container writes nothing.
"$venv/bin/python" -c 'import gradio, openvino, highdicom'
if [ -d "$packages/tensorflow" ]; then "$venv/bin/python" -c 'import tensorflow, tf_keras_vis'; fi
