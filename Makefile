# The two main targets are `make leaderboard` and `make test`. Both install everything first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PLUGINS := methods metrics datasets reports
SOURCES := nstbench $(PLUGINS) tests scripts docs
TEXTS := $(SOURCES) $(wildcard *.md) Makefile pyproject.toml action.yml CITATION.cff .github .ci
PYTEST := $(BIN)/python -m pytest
# One process per core with one thread each: idle threads of one process would slow down the others.
PARALLEL := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(PYTEST) -n auto --maxprocesses 8 --dist worksteal --benchmark-disable

.PHONY: help setup leaderboard test check static format lint imports spelling types fast screenshots bench checkpoints gpu-report regression baseline soak clean

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
	# the examples in docstrings; one file can be imported with Triton only
	$(PYTEST) --doctest-modules nstbench --ignore nstbench/nn/inference/affine_kernels.py

check: static fast ## static checks and the fast tests

static: format lint imports spelling types ## formatting, lint, order of imports, spelling and types

format: setup
	$(BIN)/ruff format --check $(SOURCES)

lint: setup
	$(BIN)/ruff check $(SOURCES)

imports: setup
	$(BIN)/lint-imports

spelling: setup
	$(BIN)/codespell $(TEXTS)

types: setup
	$(BIN)/mypy nstbench
	for folder in $(PLUGINS); do $(BIN)/mypy $$folder || exit 1; done

fast: setup
	$(PARALLEL) -m "not slow and not browser and not gpu and not alone and not soak"

RUN ?= runs/starter
screenshots: setup ## take the pictures of the documentation from the report of RUN (needs Chromium)
	$(BIN)/nstbench report $(RUN) --format html
	$(BIN)/python docs/screenshots.py $(RUN)/report/index.html docs/images

DEVICE ?= cpu
bench: setup ## compare speed with reference implementations, as one table (DEVICE=cuda for a GPU)
	# large pages, which worker processes request themselves
	GLIBC_TUNABLES=glibc.malloc.hugetlb=1 NSTBENCH_BENCH_DEVICE=$(DEVICE) $(PYTEST) tests/benchmarks --benchmark-quiet

MINUTES ?= 600
CONTENTS ?=
PAINTINGS ?=
LIST ?=
START_FROM ?=
OUT ?= runs/checkpoints
checkpoints: setup ## train what nstbench ships in MINUTES from CONTENTS and PAINTINGS (DEVICE=cuda for a GPU)
	@test -n "$(CONTENTS)" || { echo "Give a folder of photographs: make checkpoints CONTENTS=FOLDER"; exit 2; }
	$(BIN)/nstbench checkpoints train --minutes $(MINUTES) --device $(DEVICE) --contents "$(CONTENTS)" \
	  $(if $(PAINTINGS),--paintings "$(PAINTINGS)") $(if $(LIST),--list "$(LIST)") \
	  $(foreach folder,$(START_FROM),--start-from "$(folder)") --out "$(OUT)"

BUDGET ?= 480
gpu-report: setup ## measure what is promised for GPUs in BUDGET seconds (DEVICE=cpu: small cases)
	PYTHON=$(BIN)/python scripts/gpu_report.sh --budget $(BUDGET) \
	  --device $(if $(filter file,$(origin DEVICE)),cuda,$(DEVICE))

BASELINE := tests/baselines/regression.json
# a run ends with exit code 1 if a method has no output; the check reports that case
CHECKED = { $(BIN)/nstbench run --suite regression --resume never --out runs/regression || test $$? = 1; } \
  && $(BIN)/nstbench check runs/regression --baseline $(BASELINE) --speed if-known \
  --out runs/regression/check.xml --out runs/regression/check.md
regression: setup ## check a tiny suite against the committed baseline; a regression must be found twice
	$(CHECKED) || { echo "Running again: a regression must be found twice."; $(CHECKED) --annotate; }

REASON ?=
baseline: setup ## update the committed baseline: make baseline REASON='why the numbers change'
	$(BIN)/nstbench run --suite regression --resume never --out runs/regression
	$(BIN)/nstbench baseline $(if $(wildcard $(BASELINE)),update,save) runs/regression $(BASELINE) \
	  $(if $(wildcard $(BASELINE)),--reason "$(REASON)")

soak: setup ## hours of tests: fuzzing, false alarms of the regression check, and killed runs
	$(PYTEST) -m soak -s

clean: ## remove everything that these targets made, except runs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
