# `make corpus` makes a small data set and shows one of its kernels; `make test` checks everything.
# Both first make the environment in .venv, and again when pyproject.toml has changed.

PYTHON ?= python3
DATA ?= datasets/depth5-natural-seed0-n200
COVERAGE_FLOOR := 90

VENV := .venv
BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
INSTALLED := $(VENV)/installed-$(VERSION)
INSTALLED_DEV := $(VENV)/installed-dev-$(VERSION)
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check

.PHONY: help corpus test lint format readme clean
.DELETE_ON_ERROR:

help:
	@echo 'make corpus   make a small data set and show one kernel of it (DATA=FOLDER chooses where)'
	@echo 'make test     style, types, tests, coverage'
	@echo 'make lint     style and types only'
	@echo 'make format   mend what of the style can be mended'
	@echo 'make readme   bring the generated tables of README.md up to date'
	@echo 'make clean    delete the environment and caches; data sets stay'
	@echo 'PYTHON=python3.12 chooses the interpreter: 3.11 or later'

corpus: $(INSTALLED)
	@$(BIN)/python -m synth --depth 5 --n 200 --out '$(DATA)' || \
	  { code=$$?; echo "If $(DATA) is of another version: make corpus DATA=datasets/another" >&2; exit $$code; }
	@echo
	@$(BIN)/python -m corpus show --no-ir '$(DATA)'
	@echo
	@echo 'The data is in $(DATA). More of it: $(BIN)/python -m corpus stats $(DATA)'
	@echo 'Another kernel, with all of its IR: $(BIN)/python -m corpus show $(DATA) 17'

test: lint
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR)

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED_DEV)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

readme: $(INSTALLED_DEV)
	$(BIN)/python -m tests.readme

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps bear the version of Python, so that another interpreter gets an environment anew.
$(INSTALLED): pyproject.toml
	@test -n '$(VERSION)' || { echo '$(PYTHON) does not run: PYTHON=... chooses another' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or later is needed, $(PYTHON) is $(VERSION): PYTHON=... chooses another' >&2; exit 2; }
	@echo 'Installing into $(VENV) (Python $(VERSION)); this takes a minute or two the first time'
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --editable .
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@echo 'Installing what the tests need'
	@$(PIP) --editable '.[dev]'
	@touch $@
