# Two commands do everything on a fresh machine with Python 3.11 or newer:
#   make fuzz    sets up and fuzzes the builtin backend for a minute
#   make test    sets up and passes the tests

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TIME   ?= 60s

.PHONY: fuzz test lint type bench selftest clean

fuzz: $(VENV)/.ready
	$(BIN)/clifhanger fuzz --time $(TIME) -j auto

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n auto -q

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/.ready
	$(BIN)/mypy

bench: $(VENV)/.ready
	$(BIN)/python tests/benchmarks/bench.py

selftest: $(VENV)/.ready
	$(BIN)/clifhanger selftest

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
