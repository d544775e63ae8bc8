# The only commands to learn: make demo, make clouds, make test, make lint, make fmt, make run.
PYTHON ?= python3
DISASTER ?= drop-table
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo clouds test lint fmt run clean
.DEFAULT_GOAL := demo

$(VENV)/.sandbox: requirements/build.txt requirements/sandbox.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("refloat needs Python 3.11 or newer, not " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "setting up $(VENV) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/build.txt
	@$(PIP) install --require-hashes -r requirements/sandbox.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.sandbox requirements/dev.txt
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/.sandbox  ## lose a database and get it back: DISASTER=drop-table, disk or bad-update
	@$(BIN)/python -m sandbox demo --disaster $(DISASTER)

$(VENV)/.clouds: $(VENV)/.sandbox requirements/simulators.txt
	@$(PIP) install --require-hashes -r requirements/simulators.txt
	@touch $@

clouds: $(VENV)/.clouds  ## the SDKs of the clouds and their stand-ins, for `refloat sandbox up --cloud`

test: $(VENV)/.dev  ## the whole suite; its tests wait more than they compute, so four at once fit on two cores
	@$(BIN)/python -m pytest -n 4 --dist worksteal -q

lint: $(VENV)/.dev  ## format, rules, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(VENV)/.dev  ## format and repair what can be
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

run: $(VENV)/.sandbox  ## the refloat command: make run ARGS="run list"
	@$(BIN)/refloat $(ARGS)

clean:  ## remove the environment
	rm -rf $(VENV) *.egg-info
