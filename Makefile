# Holdfast. `make` alone lists what there is.
# A machine needs Python 3.11 or newer and make; everything else is set up here.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Every folder with Python in it, and the files beside them.
PATHS := $(sort $(patsubst %/,%,$(dir $(wildcard */*.py)))) $(wildcard *.py)
COMPOSE := $(shell docker compose version >/dev/null 2>&1 && echo docker compose || command -v docker-compose)

.DEFAULT_GOAL := help
.PHONY: help setup run demo test check format types compose-check durability bench bench-reconciliation chaos gallery reconcile fetch doctor lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with exactly the locked packages

# Done again only when a lock file changed. A broken installation leaves no stamp.
$(STAMP): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Holdfast needs Python 3.11 or newer; try make PYTHON=python3.11")'
	@test -x $(BIN)/python || { echo "Making .venv …"; $(PYTHON) -m venv .venv; }
	@echo "Installing the locked packages (a minute or two, once) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

run: $(STAMP) ## Start everything on this machine; ARGS="--verbose" and more are passed on
	@exec $(BIN)/python cli.py run $(ARGS)

demo: $(STAMP) ## Buy, pull the plug at the worst moment, watch it become whole
	@exec $(BIN)/python cli.py demo $(ARGS)

reconcile: $(STAMP) ## Compare processor and shop now; ARGS="--data .holdfast --dry-run"
	@exec $(BIN)/python cli.py reconcile run $(ARGS)

fetch: $(STAMP) ## Fetch or build now what runs and tests would get when they need it
	@exec $(BIN)/python cli.py doctor --fetch

doctor: $(STAMP) ## Say what this machine has and what is missing
	@exec $(BIN)/python cli.py doctor

# Three at a time: two start and kill stacks, which is mostly waiting, one has the rest.
PYTEST := $(BIN)/pytest -n 3 --dist loadscope --no-loadscope-reorder

test: $(STAMP) ## Run the tests; ARGS="-k name" and more are passed on
	$(PYTEST) $(ARGS)

durability: $(STAMP) ## Run only the tests that kill real processes
	$(BIN)/pytest -m durability $(ARGS)

check: $(STAMP) compose-check ## Format, lint, import rules, types, tests: one word before a commit
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/ruff check $(PATHS)
	$(BIN)/lint-imports
	$(BIN)/mypy $(PATHS)
	$(PYTEST)

compose-check:
	@if [ -n "$(COMPOSE)" ] && [ -f docker-compose.yml ]; then $(COMPOSE) config -q; fi

format: $(STAMP) ## Let ruff put the code in order
	$(BIN)/ruff check --fix $(PATHS)
	$(BIN)/ruff format $(PATHS)

types: $(STAMP) ## Check the types alone
	$(BIN)/mypy $(PATHS)

LOCK := uv pip compile --quiet --no-header --no-emit-index-url --no-emit-find-links --generate-hashes --python-version 3.11 --universal

bench: $(STAMP) ## Measure checkouts a second, latency and cost; JSON; ARGS="--temporal postgres"
	@exec $(BIN)/python -m bench.checkouts $(ARGS)

bench-reconciliation: $(STAMP) ## Compare up to a million payments; JSON; ARGS="--payments 10000"
	@exec $(BIN)/python -m bench.reconciliation $(ARGS)

chaos: $(STAMP) ## Buy while everything breaks, then count; ARGS="--seed 7 --buyers 500"
	@exec $(BIN)/python -m chaos $(ARGS)

gallery: $(STAMP) ## Picture every page and mail into .holdfast/gallery; ARGS=--docs for the docs too
	@exec $(BIN)/python -m gallery $(ARGS)

lock: ## Pin every package again, with hashes (needs uv)
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt

clean: ## Remove .venv, caches and the data folder
	rm -rf .venv .holdfast .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
