# `make` alone lists the targets.
SWEEP ?= quick
BUDGET ?= quick
DATA ?= auto
JOBS ?=
FORCE ?=
SYSTEM_PYTHON ?= python3

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
STAND_INS := $(VENV)/stand_ins
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.DEFAULT_GOAL := help
.PHONY: help install sweep test unit smoke notebook report site bench clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED)  ## make .venv and install what is needed

$(INSTALLED): requirements.txt constraints.txt pyproject.toml
	$(SYSTEM_PYTHON) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

sweep: install  ## run a sweep: SWEEP=quick BUDGET=quick DATA=auto|real|embedded JOBS=n FORCE=1
	@$(PYTHON) -m vae_keras.launch $(SWEEP) --budget $(BUDGET) --data $(DATA) \
		$(if $(JOBS),--jobs $(JOBS)) $(if $(FORCE),--force)
	@$(PYTHON) -m vae_keras.report

test: unit smoke  ## check everything: unit tests, imports, the notebooks' lint and smoke test

unit: install
	$(PYTHON) -m pytest -q

smoke: install  ## execute every notebook, on small stand-ins and copies of the records
	@$(PYTHON) -c "from vae_keras.datasets import write_stand_ins; write_stand_ins('$(STAND_INS)')"
	@mkdir -p $(STAND_INS)/models
	@tar -C models --exclude='*.keras' --exclude='*.ipynb' -cf - . | tar -C $(STAND_INS)/models -xf -
	VAE_KERAS_DATA=$(CURDIR)/$(STAND_INS) VAE_KERAS_MODELS=$(CURDIR)/$(STAND_INS)/models \
		$(PYTHON) -m pytest -q --nbval-lax notebooks/*.ipynb

notebook: install  ## open the notebooks in JupyterLab
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt jupyterlab
	$(PYTHON) -m jupyterlab notebooks

report: install  ## write the table, the figures and the README's numbers from the run folders
	@$(PYTHON) -m vae_keras.report

site: install  ## write site/index.html: findings, table, figures and the executed notebooks
	@$(PYTHON) -m vae_keras.site

bench: install  ## measure the speed beside stock Keras and PyTorch, with nothing else running
	@$(PYTHON) -m vae_keras.bench

clean:  ## remove .venv and caches; runs and figures stay
	rm -rf $(VENV) *.egg-info .pytest_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
