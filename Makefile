# `make` alone lists the targets.
SWEEP ?= quick
BUDGET ?= quick
DATA ?= auto
DATASET ?=
JOBS ?=
FORCE ?=
RETRY ?=
CLUSTER ?=
LIMIT ?=
SYSTEM_PYTHON ?= python3

VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt
INSTALLED := $(VENV)/installed
STAND_INS := $(VENV)/stand_ins
export PYDEVD_DISABLE_FILE_VALIDATION := 1
export DATASET CLUSTER  # the shell, not make, reads these: they may contain quotes

.DEFAULT_GOAL := help
.PHONY: help install sweep test lint unit smoke test-faults hashes notebook report site bench clean

help:  ## list the targets and, after installation, the sweeps and budgets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14
	@test ! -x $(PYTHON) || { echo; $(PYTHON) -m vae_keras.study list; }

install: $(INSTALLED)  ## create .venv and install the dependencies

$(INSTALLED): requirements.txt constraints.txt pyproject.toml
	$(SYSTEM_PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	! command -v nvidia-smi > /dev/null || $(PIP) -e .[gpu]
	@touch $@

sweep: install  ## run a sweep: SWEEP=quick BUDGET=quick DATA=auto|real|embedded DATASET=folder:PATH JOBS=n FORCE=1 RETRY=1 LIMIT=hours CLUSTER=tcp://HOST:PORT
	@$(PYTHON) -m vae_keras.study sweep $(SWEEP) --budget $(BUDGET) --data $(DATA) \
		$(if $(DATASET),--dataset "$$DATASET") $(if $(JOBS),--jobs $(JOBS)) $(if $(FORCE),--force) \
		$(if $(RETRY),--retry-failed) $(if $(LIMIT),--time-limit $(LIMIT)) \
		$(if $(CLUSTER),--cluster "$$CLUSTER")

test: lint unit smoke  ## run all checks: style, imports, unit tests and notebooks

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

unit: install
	$(PYTHON) -m pytest -q

test-faults: install  ## inject real faults: kills, a full disk, hostile files (about 10 minutes)
	$(PYTHON) -m pytest -q -m '(slow or faults) and not soak'

hashes: install  ## write the hashes of the packages that CI installs
	$(PIP) uv
	$(VENV)/bin/uv pip compile -q pyproject.toml --extra study --extra test --extra cluster \
		--universal --python-version 3.10 --no-header --no-annotate --generate-hashes \
		-c constraints.txt -o .ci/requirements.txt

smoke: install  ## execute every notebook on small stand-in data sets and copies of the records
	@$(PYTHON) -c "from vae_keras.data.embedded import write_stand_ins; write_stand_ins('$(STAND_INS)')"
	@mkdir -p $(STAND_INS)/models
	@tar -C models --exclude='*.keras' --exclude='*.ipynb' -cf - . | tar -C $(STAND_INS)/models -xf -
	VAE_KERAS_DATA=$(CURDIR)/$(STAND_INS) VAE_KERAS_MODELS=$(CURDIR)/$(STAND_INS)/models \
		$(PYTHON) -m pytest -q --nbval-lax notebooks/*.ipynb

notebook: install  ## open the notebooks in JupyterLab
	$(PIP) jupyterlab
	$(PYTHON) -m jupyterlab notebooks

report: install  ## write the tables and the README's numbers from the run folders
	@$(PYTHON) -m vae_keras.study report

site: install  ## execute the notebooks and build the site
	$(PIP) -e .[site]
	@$(PYTHON) docs/build.py

bench: install  ## compare the speed with stock Keras and PyTorch (hours, on an otherwise idle machine)
	@$(PYTHON) -m vae_keras.bench

clean:  ## remove .venv and caches; keep runs and figures
	rm -rf $(VENV) *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
