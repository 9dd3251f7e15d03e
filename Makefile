PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-all check bench bench-large bench-http dependability docker-try clean

demo: $(VENV)/.demo  ## Build, measure and picture a small gallery; needs no server
	$(BIN)/kinfold demo

PYTEST := $(BIN)/python -m pytest --numprocesses logical --dist loadgroup

test: $(VENV)/.dev  ## The tests of everything; a quarter of an hour on two cores
	$(PYTEST) -m "not long"

test-all: $(VENV)/.dev  ## With those that show at length what others show shortly
	$(PYTEST)

check: $(VENV)/.dev  ## Lint, types, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev  ## The figures of the README, minutes; JSON and a plot in bench-output/
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.models
	$(BIN)/python -m benchmarks.auto
	$(BIN)/python -m benchmarks.cas
	$(BIN)/python -m benchmarks.linearity
	$(BIN)/python -m benchmarks.rows
	$(BIN)/python -m benchmarks.queries
	$(BIN)/python -m benchmarks.builds
	$(BIN)/python -m benchmarks.scaling

bench-large: $(VENV)/.dev  ## Builds up to 1,000,000 items, with a plot, and 100,000 beside SciPy; needs 16 GB
	$(BIN)/python -m benchmarks.scaling --large
	$(BIN)/python -m benchmarks.builds --rows 20000 100000 --dimension 128 --gallery manifolds

bench-http: $(VENV)/.dev  ## The service under load from a second process, beside one in one file; ROWS=100000
	$(BIN)/python -m benchmarks.http --rows $(or $(ROWS),100000)
	$(BIN)/python -m benchmarks.http_passes --rows $(or $(ROWS),100000)
	$(BIN)/python -m benchmarks.http_metrics

dependability: $(VENV)/.dev  ## Swaps, kills, outages, overload and fuzz on real processes; most of an hour
	$(BIN)/python -m benchmarks.dependability.swaps
	$(BIN)/python -m benchmarks.dependability.redis
	$(BIN)/python -m benchmarks.dependability.kills
	$(BIN)/python -m benchmarks.dependability.build_kills
	$(BIN)/python -m benchmarks.dependability.overload
	$(BIN)/python -m benchmarks.dependability.fuzz

docker-try:  ## Build the image and run every service of the compose file, without Docker; needs root and buildah
	docker/try.sh

clean:  ## Remove the environment and everything that was made
	rm -rf $(VENV) demo-output bench-output build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else "kinfold needs Python 3.11 or newer, found %d.%d; run: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about a minute) ..."
	$(PIP) install --quiet --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about a minute) ..."
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
