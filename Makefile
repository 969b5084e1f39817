# All tasks of development; people and CI use the same targets. `make` alone lists them.
# Works with GNU make 3.81 (macOS); needs Python 3.11 or newer, make and git, and installs the rest into .venv.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Which interpreter builds .venv. Empty: the newest of the list below that is good enough.
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)

BUILD_TOOLS := 'hatchling>=1.27' 'editables>=0.5'
COMPILE := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
# A lock file names every package. --no-deps keeps pip from resolving again, which would take what was released since
# for a requirement that the lock spells otherwise (coverage[toml]); `pip check` fails if a package is missing.
LOCKED := $(PIP) --no-deps --require-hashes
COMPLETE := $(BIN)/python -m pip --disable-pip-version-check check
PYTEST := $(BIN)/python -m pytest -q
# A worker takes two seconds to start: a file or folder in ARGS runs in one process, its slow tests included.
PATHS = $(strip $(foreach word,$(ARGS),$(wildcard $(firstword $(subst ::, ,$(word))))))
WORKERS = $(if $(PATHS),,-n auto --dist worksteal)
QUICK = $(if $(PATHS),,-m 'not slow')
# Tests that depend on the behaviour and texts of libraries.
RANGE_TESTS := tests/config tests/providers tests/unit/kernel tests/unit/config tests/unit/cli tests/unit/fetch \
  tests/unit/web tests/unit/observe tests/unit/authoring tests/unit/store tests/component/test_cli_commands.py \
  tests/component/test_client.py tests/component/test_web_server.py tests/component/test_runner_uvloop.py \
  tests/component/test_ledger.py
# addopts ignores tests/e2e, so this runs without them.
PYTEST_APART := $(BIN)/python -m pytest -o addopts= --import-mode=importlib -ra

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo run test check static format format-check lint types contracts coverage e2e bench \
  docs image chart lock locks test-newest test-lowest install dev clean

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  \033[1mmake %-13s\033[0m %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  ARGS=... is handed on, for example: make test ARGS='-k backoff'; make run ARGS=--config.file=my.yaml"

## Using it

demo: install ## Run the exporter on fake vendors, in one process: http://127.0.0.1:10187
	@$(BIN)/usage-exporter demo $(ARGS)

run: install ## Run the exporter on your own config (ARGS=--config.file=...)
	@$(BIN)/usage-exporter run $(ARGS)

## Working on it

test: dev ## Run the tests but the slow ones on all cores (ARGS=tests/unit/mapping: all of a folder)
	$(PYTEST) $(WORKERS) $(QUICK) $(ARGS)

check: static ## All that a change must pass: format, lint, types, contracts, tests, coverage
	$(PYTEST) $(WORKERS) --cov --cov-report= --cov-fail-under=0 $(ARGS)
	@$(MAKE) --no-print-directory coverage

static: format-check lint types contracts ## The part of `check` that runs no test

format: dev ## Rewrite the code in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

format-check: dev ## Check the format
	$(BIN)/ruff format --check --quiet .

lint: dev ## Run the linter
	$(BIN)/ruff check --quiet .

types: dev ## Check the types
	$(BIN)/mypy

contracts: dev ## Check which stage may import which
	$(BIN)/lint-imports

coverage: dev ## Report uncovered lines of the last run; fails below the bar
	$(BIN)/python -m coverage report

e2e: dev ## The tests with real Prometheus, browser, Helm and image (installs them: Debian, root)
	bash .ci/install-e2e
	$(PYTEST_APART) --timeout=300 tests/e2e $(ARGS)

bench: dev ## Measure beside the peers, write docs/performance.md (installs them: Debian, root)
	$(BIN)/python -m tests.bench $(ARGS)

docs: dev ## Regenerate the generated pages: providers, metrics, schemas
	$(BIN)/python -m docs.generate

image: ## Build the container image (ENGINE=docker or podman)
	$(or $(ENGINE),docker) build \
	  --build-arg VERSION="$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
	  --build-arg REVISION="$$(git rev-parse HEAD)" \
	  --build-arg CREATED="$$(git log -1 --format=%cI)" \
	  --tag usage-exporter:$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) $(ARGS) .

chart: ## Lint the Helm chart and show what it renders
	helm lint --strict helm/usage-exporter
	helm template usage-exporter helm/usage-exporter $(ARGS)

lock: $(BIN)/python ## Regenerate the lock files (ARGS=--upgrade takes newer versions)
	@test -x $(BIN)/uv || $(PIP) uv
	$(COMPILE) pyproject.toml --extra fast -o requirements.lock $(ARGS)
	printf '%s\n' $(BUILD_TOOLS) | $(COMPILE) - -c requirements.lock -o requirements-build.lock $(ARGS)
	printf '%s\n' $(BUILD_TOOLS) | $(COMPILE) pyproject.toml - --extra fast --group dev \
	  -c requirements.lock -c requirements-build.lock -o requirements-dev.lock $(ARGS)
	@! grep -nE '://|--index|--find-links|--extra-index|^ *-[ef] | @ ' requirements.lock requirements-build.lock requirements-dev.lock \
	  || { echo 'lock: an address or a path got into a lock file (see above)' >&2; exit 1; }

locks: $(VENV)/.dev ## Install each lock file into a fresh environment, by pip 23 and the newest: it names all it needs
	$(BIN)/python .ci/ranges.py locks

test-newest: $(VENV)/.dev ## The tests that concern libraries, with the newest that pyproject.toml allows
	$(BIN)/python .ci/ranges.py newest $(RANGE_TESTS) $(ARGS)

test-lowest: $(VENV)/.dev ## The same with the oldest that pyproject.toml allows
	$(BIN)/python .ci/ranges.py lowest $(RANGE_TESTS) $(ARGS)

## Setting up. The stamps make a second run instant; a changed lock file or pyproject.toml installs again.

install: $(VENV)/.installed ## Put the exporter into .venv (demo and run do this by themselves)

dev: $(VENV)/.dev ## Put the exporter and the tools of development into .venv (test does this by itself)

clean: ## Remove .venv and everything that tools left behind
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
	  .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: requirements.lock requirements-build.lock pyproject.toml $(BIN)/python
	@echo "Installing the exporter into $(VENV) (once, well under a minute) ..."
	@$(LOCKED) -r requirements.lock -r requirements-build.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(COMPLETE)
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.installed
	@echo "Installing the tools of development into $(VENV) (once, well under a minute) ..."
	@$(LOCKED) -r requirements-dev.lock
	@$(COMPLETE)
	@touch $@

# A candidate counts only if it runs (a pyenv shim may not) and has all that a virtual environment needs.
$(BIN)/python:
	@for candidate in $(PYTHONS); do \
	  if "$$candidate" -c 'import ensurepip, sqlite3, ssl, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "Creating $(VENV) with $$candidate ($$("$$candidate" -c 'import platform; print(platform.python_version())'))"; \
	    exec "$$candidate" -m venv --clear $(VENV); \
	  fi; \
	done; \
	echo "make: none of these is Python 3.11 or newer with venv, ssl and sqlite3: $(PYTHONS)." >&2; \
	echo "  Install one (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python)," >&2; \
	echo "  or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.13" >&2; \
	exit 1
