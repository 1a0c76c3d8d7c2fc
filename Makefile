# Every target sets up what it needs: a fresh clone with python3 and make is enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
REQUIREMENTS := requirements/dev.txt
DISTRIBUTIONS := . $(wildcard plugins/*)
.DEFAULT_GOAL := help
# Many tests start Python anew; without bytecode each compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint types contracts check bench guests docs dist wheel-test lock clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/uv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}. Fix: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(STAMP): $(BIN)/uv $(REQUIREMENTS) pyproject.toml $(wildcard plugins/*/pyproject.toml)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $(REQUIREMENTS)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ,$(DISTRIBUTIONS))
	@touch $@

demo: $(STAMP) ## The main job in one minute: a server, a host, three guests, calls, chain, trace
	@$(BIN)/theater-bus demo

test: $(STAMP) ## All tests, on every core; ARGS goes to pytest
	@$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --cov --cov-report= $(ARGS) || { \
		echo "== what failed while the others ran, again and alone: what fails now has failed"; \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures=none --cov --cov-append --cov-report= $(ARGS); }
	@$(BIN)/coverage report --fail-under=100

lint: $(STAMP) ## Style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## Static types
	@$(BIN)/mypy

contracts: $(STAMP) ## Which package may import which
	@$(BIN)/lint-imports --no-cache

check: lint types contracts test ## Everything that CI checks

bench: $(STAMP) ## Benchmarks, as ratios to raw nats-py in the same run
	@$(BIN)/python -m tests.bench $(ARGS)

guests: $(STAMP) ## Rebuild the C guests with the pinned toolchain and compare them with what is committed
	@$(BIN)/python tests/guests/build.py --check

docs: $(STAMP) ## Write the generated reference pages and dashboards again
	@$(BIN)/python docs/generate.py

dist: $(STAMP) ## Build the wheels of the root distribution and of every plugin
	@rm -rf dist
	@for d in $(DISTRIBUTIONS); do $(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist $$d || exit 1; done

wheel-test: dist ## Install the wheels, and nothing of this tree, into an environment of their own and use them
	@rm -rf $(VENV)-wheels && $(PYTHON) -m venv $(VENV)-wheels
	@$(BIN)/uv pip install --quiet --python $(VENV)-wheels/bin/python --require-hashes -r $(REQUIREMENTS)
	@$(BIN)/uv pip install --quiet --python $(VENV)-wheels/bin/python --no-deps dist/*.whl
	@cd $(VENV)-wheels && bin/theater-bus version && bin/theater-bus plugins check && bin/theater-bus demo -o json > demo.json
	@echo "1 passed, 0 failed"

lock: $(BIN)/uv ## Compile the pinned, hashed requirements again
	@$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --group test --group lint --group bench --group guests --group plugins --group build \
		--universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -o $(REQUIREMENTS)

clean: ## Remove what the targets made
	@rm -rf $(VENV) dist .components .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
