# Two commands: make run, make test. The first of each sets everything up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check bench cert setup ready clean

run: $(VENV)/.run
	@$(BIN)/python -m server $(ARGS)

# All of them by two workers, see tests/conftest.py; some of them as pytest takes them: make test ARGS="tests/pure -q"
# They start many a process: what those import is compiled once, whatever this machine is set to.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.test
	@$(BIN)/python -m pytest $(or $(ARGS),-n 2)

check: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.test
	@$(BIN)/python -m bench $(ARGS)

# A self-signed certificate in certs/, for trying out TLS: make cert ARGS="--name viva.local"
cert: $(VENV)/.run
	@$(BIN)/python -m server --make-cert certs $(ARGS)

setup: $(VENV)/.run
ready: $(VENV)/.test

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; say which: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }

# What the server needs. Exact versions are in constraints.txt.
$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what the server needs (once, some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# The same, and what its tests and checks need.
$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what the server and its tests need (once, some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.run $@

# And the programs that the tests use: a browser, a voice to speak to it, and clients from npm.
$(VENV)/.programs: scripts/test-programs | $(BIN)/python
	@sh scripts/test-programs
	@touch $@

$(VENV)/.test: $(VENV)/.dev $(VENV)/.programs tests/real/npm/package.json
	@$(BIN)/python -m tests.real.npm_bundle
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
