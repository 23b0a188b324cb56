# Two commands: make run, make test. The first of each sets everything up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check bench cert setup clean

run: $(VENV)/.run
	@$(BIN)/python -m server $(ARGS)

test: $(VENV)/.test
	@$(BIN)/python -m pytest $(ARGS)

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

# What the server needs. Exact versions are in constraints.txt.
$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; say which: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing what the server needs (once, some minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# And what its tests and checks need.
$(VENV)/.dev: $(VENV)/.run
	@echo "Installing what the tests need (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# And the programs that the tests use: a browser, a voice to speak to it, and clients from npm.
$(VENV)/.test: $(VENV)/.dev scripts/test-programs tests/real/npm/package.json
	@sh scripts/test-programs
	@$(BIN)/python -m tests.real.npm_bundle
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
