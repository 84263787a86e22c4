# make help lists what there is. Every target sets up what it needs, on a fresh machine too.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= $(shell for p in python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11
MODELS := basic_cnn resnet50 advanced_cnn
DATA_OPTION = $(if $(DATA),--data "$(DATA)")
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: app test check format train crossval publish evaluate fuzz bench load soak archive-bench gate maps examples messages screenshots start deploy space image-steps lock help

app: $(VENV)/app.stamp  ## serve the page on http://127.0.0.1:7860
	$(RUN) app.py

test: $(VENV)/dev.stamp  ## run the tests
	$(RUN) -m pytest $(TESTS)

check: $(VENV)/dev.stamp  ## lint, format, types, import rules, known vulnerabilities, what a Space's host installs
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(RUN) -m hosting.audit
	$(RUN) -m hosting.space_build

format: $(VENV)/dev.stamp  ## format the code
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

train: $(VENV)/dev.stamp  ## teach all models anew and publish them, hours; DATA=folder, SOURCE=imagenet|shipped
	$(RUN) -m train.data $(DATA_OPTION)
	$(RUN) -m train.backbone --source $(or $(SOURCE),shipped) $(DATA_OPTION)
	$(MAKE) crossval publish

crossval: $(VENV)/dev.stamp  ## all folds of all models and baselines under both protocols; DATA=folder
	for model in $(MODELS); do for protocol in grouped image_level; do \
	  $(RUN) -m train.crossval $$model --protocol $$protocol --keep $(DATA_OPTION); \
	done; done
	$(RUN) -m train.baselines $(DATA_OPTION)

publish: $(VENV)/dev.stamp  ## put the shipped fold into weights/, audit, render every page of figures; DATA=folder
	$(RUN) -m train.publish
	$(RUN) -m train.audit $(DATA_OPTION)
	$(RUN) -m train.publish
	$(RUN) -m train.evaluate --write $(DATA_OPTION)

evaluate: $(VENV)/dev.stamp  ## recompute every committed figure, fail on a difference; DATA=folder
	$(RUN) -m train.evaluate $(DATA_OPTION)

fuzz: $(VENV)/dev.stamp  ## read thousands of damaged files of every format; fails on a crash, a hang or a stray error
	$(RUN) -m tests.fuzz

bench: $(VENV)/dev.stamp  ## time one analysis against the usual way and other runtimes, a series against the raw forward pass
	$(RUN) -m benchmarks.one_analysis
	$(RUN) -m benchmarks.series

archive-bench: $(VENV)/dev.stamp  ## score archives of 100, 1,000 and 10,000 slices with 1 and 2 workers
	$(RUN) -m benchmarks.archive

load: $(VENV)/dev.stamp  ## time many users at once against the raw batched forward pass
	$(RUN) -m benchmarks.load

soak: $(VENV)/dev.stamp  ## serve users for MINUTES=30 beside a hostile client and watch errors, waiting, memory and files
	$(RUN) -m benchmarks.load --soak $(or $(MINUTES),30)

gate: $(VENV)/dev.stamp  ## try the input gate on chest CT and on what is none; DATA=folder
	$(RUN) -m benchmarks.gate $(DATA_OPTION)

maps: $(VENV)/dev.stamp  ## how often each explanation's maps pass their test on held-out slices; DATA=folder
	$(RUN) -m benchmarks.maps --write $(DATA_OPTION)

start: $(VENV)/app.stamp  ## time a start: until the page is there, until the models are
	$(RUN) -m benchmarks.cold_start

deploy: $(VENV)/dev.stamp  ## put the application on a Space; SPACE=owner/name, DRY=1 to only look, PRIVATE=1
	$(RUN) -m hosting.space $(SPACE) $(if $(DRY),--dry-run) $(if $(PRIVATE),--private)

space: $(VENV)/dev.stamp  ## install what a Space's host installs into a fresh folder, and load the page there
	$(RUN) -m hosting.space_build --install

image-steps: $(VENV)/dev.stamp  ## take the image's steps in a fresh folder, without a container engine; PACKAGES=serve
	$(RUN) -m hosting.image $(or $(PACKAGES),app)

examples: $(VENV)/dev.stamp  ## add one held-out real slice a class to the page's examples, locally; DATA=folder
	$(RUN) -m train.examples $(DATA_OPTION)

messages: $(VENV)/app.stamp  ## bring the translators' catalogs up to the code, and say what is left
	$(RUN) -m lungapp.locale

screenshots: $(VENV)/dev.stamp  ## make the README's pictures anew
	$(RUN) -m docs.screenshots
	$(RUN) -m docs.preprocessing_picture
	$(RUN) -m train.audit --pictures

lock: $(VENV)/dev.stamp  ## pin every dependency anew from the five .in files
	$(LOCK) --upgrade requirements.in -o requirements.txt
	for kind in app serve archive replicas dev; do \
	  [ $$kind = app ] && from=requirements.in || from=requirements-$$kind.in; \
	  $(LOCK) --upgrade --generate-hashes -c requirements.txt $$from -o requirements-$$kind.txt; \
	done

$(VENV)/app.stamp: requirements-app.txt
	@test -n "$(PYTHON)" || { echo "LungApp needs Python 3.11 or 3.12."; exit 1; }
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements-app.txt
	@touch $@

$(VENV)/dev.stamp: $(VENV)/app.stamp requirements-archive.txt requirements-replicas.txt requirements-dev.txt
	$(INSTALL) -r requirements-archive.txt -r requirements-replicas.txt -r requirements-dev.txt
	@touch $@

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15
