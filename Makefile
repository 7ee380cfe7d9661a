# Every target sets up what it needs. `make demo` and `make test` are all that a newcomer has to know.
VENV := .venv
PY := $(VENV)/bin/python
SHELL := /bin/bash
# Python's own cache of compiled modules, out of the tree: a pipeline's processes start sooner.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache
TOGETHER := -n 2 --dist loadfile --no-loadscope-reorder --durations=12

.PHONY: demo test test-compiled check model nightly bench lock docs clean

demo: $(VENV)/ready  ## a whole market day through four processes, with nothing else installed
	$(VENV)/bin/corelane demo

test: $(VENV)/ready  ## all tests: kernels as plain Python first, then everything compiled
	$(VENV)/bin/corelane demo --messages 1000 --name warm --folder $(VENV)/demo >/dev/null  # compiles once, for all
	NUMBA_DISABLE_JIT=1 $(PY) -m pytest $(TOGETHER) tests/ringbuf tests/workers -m "not compiled"
	$(PY) -m pytest $(TOGETHER)

test-compiled: $(VENV)/ready  ## kernels compiled with bounds checks
	NUMBA_BOUNDSCHECK=1 $(PY) -m pytest tests/ringbuf tests/workers

check: $(VENV)/ready  ## style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

model: $(VENV)/ready  ## every order of small rings, searched through by spin
	@command -v spin >/dev/null || .ci/install spin
	@command -v gcc >/dev/null || .ci/install gcc libc6-dev
	@echo '#include <relacy/relacy.hpp>' | g++ -E -x c++ - >/dev/null 2>&1 || .ci/install g++ relacy-dev
	$(PY) -m tests.model.check

nightly: $(VENV)/ready  ## interleavings, simulated deaths, damaged files and feeds, fault scenes, then kills of real processes
	$(PY) -m tests.campaign
	$(PY) -m tests.crashes.main
	$(PY) -m tests.ringbuf.damage
	$(PY) -m tests.fuzz.main
	$(PY) -m tests.workers.match_fuzz 1000000
	$(PY) -m tests.pipeline.scenes
	$(PY) -m tests.kills.main
	CORELANE_KILLS=2000 $(PY) -m pytest -s tests/ringbuf/test_ring_kills.py

bench: $(VENV)/ready  ## all benches, side by side with the C program of the same protocol
	$(VENV)/bin/corelane bench

docs: $(VENV)/ready  ## the command line's own help, as docs/commands.md
	$(PY) -m docs.commands > docs/commands.md

lock: $(VENV)/ready  ## resolve the newest versions again, with hashes and without addresses
	$(VENV)/bin/pip-compile --quiet --extra dev --extra plot --generate-hashes --strip-extras --allow-unsafe \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-annotate --no-header \
		--upgrade --output-file requirements.lock pyproject.toml

clean:  ## everything that the other targets have made here
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/ready: pyproject.toml requirements.lock
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Corelane needs python3 3.11 or newer"; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || .ci/install python3-venv
	python3 -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
