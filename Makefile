# Two commands matter: `make leaderboard` and `make test`. Both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PLUGINS := methods metrics datasets reports
SOURCES := nstbench $(PLUGINS) tests scripts docs
PYTEST := $(BIN)/python -m pytest
# A process per core, each with one thread: waiting threads of one would slow down the other.
PARALLEL := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(PYTEST) -n auto --maxprocesses 8 --dist worksteal --benchmark-disable

.PHONY: help setup leaderboard test check static format lint types fast screenshots bench regression baseline soak clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("nstbench needs Python 3.11 or newer; try make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(INSTALLED) ## make .venv and install everything into it

leaderboard: setup ## run all methods on the starter suite and write the report
	$(BIN)/nstbench run --methods all --suite starter

test: setup ## all tests that need no GPU
	$(PARALLEL) -m "not gpu and not alone and not soak"
	$(PYTEST) -m "alone and not gpu and not soak and not bench"

check: static fast ## formatting, lint, types and the fast tests

static: format lint types ## formatting, lint and types

format: setup
	$(BIN)/ruff format --check $(SOURCES)

lint: setup
	$(BIN)/ruff check $(SOURCES)

types: setup
	$(BIN)/mypy nstbench
	for folder in $(PLUGINS); do $(BIN)/mypy $$folder || exit 1; done

fast: setup
	$(PARALLEL) -m "not slow and not browser and not gpu and not alone and not soak"

RUN ?= runs/starter
screenshots: setup ## photograph the report of RUN for the documentation (needs Chromium)
	$(BIN)/nstbench report $(RUN) --format html
	$(BIN)/python docs/screenshots.py $(RUN)/report/index.html docs/images

DEVICE ?= cpu
bench: setup ## speed against named yardsticks, as one table (DEVICE=cuda for a GPU)
	# large pages, which workers ask for by themselves
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1 NSTBENCH_BENCH_DEVICE=$(DEVICE) $(PYTEST) tests/benchmarks --benchmark-quiet

BASELINE := tests/baselines/regression.json
# exit code 1 of a run, a method without any output, is left to the check
CHECKED = { $(BIN)/nstbench run --suite regression --resume never --out runs/regression || test $$? = 1; } \
  && $(BIN)/nstbench check runs/regression --baseline $(BASELINE) --speed if-known \
  --out runs/regression/check.xml --out runs/regression/check.md
regression: setup ## check a tiny suite against the committed baseline; an alarm must repeat itself
	$(CHECKED) || { echo "Once more: only what is found twice counts."; $(CHECKED) --annotate; }

REASON ?=
baseline: setup ## make the committed baseline anew: make baseline REASON='what may move'
	$(BIN)/nstbench run --suite regression --resume never --out runs/regression
	$(BIN)/nstbench baseline $(if $(wildcard $(BASELINE)),update,save) runs/regression $(BASELINE) \
	  $(if $(wildcard $(BASELINE)),--reason "$(REASON)")

soak: setup ## hours of fuzzing, of honest runs that must raise no alarm, and of runs that are killed
	$(PYTEST) -m soak -s

clean: ## remove everything that these targets made, but no run
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
