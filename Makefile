# Set-up, tests and checks, each from a bare clone. What is installed, in .venv, is what constraints.txt pins by hash.

PYTHON ?= python3
ARGS ?=
TESTS ?=
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run test check format constraints example clean

help:
	@echo 'make run  [ARGS="--port 8500"]            start the server on an empty machine: SQLite below ./data'
	@echo 'make test [TESTS="tests/unit -k limits"]  run the tests, two files at once (JOBS=2), or some of them'
	@echo 'make check        format, lint, types, import rules'
	@echo 'make format       format the code, mend what can be mended'
	@echo 'make constraints  resolve the dependencies anew'
	@echo 'make example      write config.example.toml from the settings'
	@echo 'make clean        remove what make installed and what tools cached; data stays'
	@echo 'PYTHON=python3.13 chooses the Python that .venv is made with.'

run: $(INSTALLED)
	@exec $(BIN)/crust serve $(ARGS)

test: $(INSTALLED)
	$(BIN)/python -m pytest $(or $(TESTS),--numprocesses $(JOBS) --dist loadfile)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_imports.py

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

example: $(INSTALLED)
	$(BIN)/python -c 'from crust.settings import example_toml; print(example_toml(), end="")' > config.example.toml

# One resolution for all supported Pythons; the result names versions and hashes, no registry.
constraints: $(VENV)/.uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev --upgrade --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make constraints' \
		--output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find crust plugins bridges tests -name __pycache__ -prune -exec rm -rf {} +

# A stamp is written last, so that what was interrupted is done again.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Crust needs Python 3.11 or newer; "$(PYTHON)" is not. Try make PYTHON=python3.13, or wherever yours is.' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(INSTALLED): $(VENV)/.made constraints.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.uv: $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@
