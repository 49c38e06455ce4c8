# Everything here needs Python 3.11 to 3.13, make, and a network to install packages; nothing else.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
# Slow tests, and those that start Airflow or a browser, run after the others.
QUICK := not slow and not browser and not airflow
# Without bytecode Airflow starts three times slower, and every task pays for it.
unexport PYTHONDONTWRITEBYTECODE
export AIRFLOW_HOME := $(CURDIR)/.airflow

.PHONY: help demo demo-review up documents test test-fast lint bench lock clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(VENV)/.installed  ## label 1,797 real digits end to end, with simulated people
	$(BIN)/python -m demo

demo-review: $(VENV)/.installed-documents  ## read invoices by OCR, review them with simulated people, learn from it
	$(BIN)/python -m demo.review

up: $(VENV)/.installed  ## start Airflow and the portal for people, until Ctrl-C
	$(BIN)/python -m demo up

documents: $(VENV)/.installed-documents  ## install the reader of documents, which projects of invoices need

test: $(VENV)/.installed-test chromium  ## lint, then all tests
	$(MAKE) lint
	$(BIN)/python -m pytest -m "$(QUICK)" -n 2 --dist loadfile
	$(BIN)/python -m pytest -m "not ($(QUICK))" -n 2 --dist loadfile

test-fast: $(VENV)/.installed-test  ## the quick tests, two minutes of them
	$(BIN)/python -m pytest -m "$(QUICK) and not thorough" -n 2 --dist loadfile

lint: $(VENV)/.installed-test  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-test  ## measure; see benchmarks/README.md
	$(BIN)/python -m benchmarks

lock: $(VENV)/.installed  ## resolve the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-header --upgrade -o requirements.txt

clean:  ## remove what was installed and Airflow's state; your labels in data/ and .trueground/ stay
	rm -rf $(VENV) .airflow .mypy_cache .ruff_cache .pytest_cache .hypothesis test-output *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -e data ] || [ -e .trueground ]; then echo "kept: data/ and .trueground/ (data, answers, labels); remove them by hand"; fi

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11, 3.12 or 3.13 is needed, this is {sys.version.split()[0]}; say which: make PYTHON=python3.12 ...")'
	@echo "Installing into $(VENV): first the installer, then about 200 packages (one to five minutes) …"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv==$(UV_VERSION)

# requirements.txt holds the exact version of everything; the extras choose what of it is installed.
$(VENV)/.installed: pyproject.toml requirements.txt | $(VENV)/bin/uv
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -c requirements.txt -e .
	touch $@

$(VENV)/.installed-documents: $(VENV)/.installed
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -c requirements.txt -e '.[documents]'
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -c requirements.txt -e '.[test,lint,bench,cluster,documents]'
	touch $@

# The browser tests skip with a message where there is none and it cannot be installed.
.PHONY: chromium
chromium: $(VENV)/.installed-test
	@$(BIN)/python tests/install_chromium.py
