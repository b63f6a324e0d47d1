# Two commands: `make repro` builds every result of the profile in use, `make test` runs the tests.
# Everything is installed into .venv, from requirements.lock.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
READY := $(VENV)/.installed
# bytecode is kept whatever the shell says: without it every stage compiles torch's Python sources anew, 8 s each
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
WORKERS ?= 2
PORT ?= 5000

.PHONY: help repro status plan report accept ui test slow lint lock stages

help:
	@echo "make repro [PROFILE=embedded|cpu|paper]  build all results, two cells at a time"
	@echo "make status     list what make repro would make"
	@echo "make plan       the same with how long training would take"
	@echo "make test       run the tests"
	@echo "make slow       run those that take minutes"
	@echo "make report     redraw tables, figures and pages; trains nothing"
	@echo "make accept     settle cells that an edit of code made stale without changing their numbers"
	@echo "make ui         MLflow on http://127.0.0.1:$(PORT)"
	@echo "make stages     write the dvc.yaml files anew, after adding a solver or a cell"
	@echo "make lint       ruff and mypy"

repro: $(READY)
	@$(RUN) python -m pipelines.repro --workers $(WORKERS) $(if $(PROFILE),--profile $(PROFILE))

report: $(READY)
	@$(RUN) python -m pipelines.report $(if $(PROFILE),--profile $(PROFILE))

accept: $(READY)
	@$(RUN) python -m pipelines.accept --workers $(WORKERS) $(if $(PROFILE),--profile $(PROFILE))

status: $(READY)
	@$(RUN) python -m pipelines.repro --status $(if $(PROFILE),--profile $(PROFILE))

ui: $(READY)
	@$(RUN) python -m pipelines.ui --port $(PORT)

plan: $(READY)
	@$(RUN) python -m pipelines.plan $(if $(PROFILE),--profile $(PROFILE))

# by file, whose tests share what it makes once; in the order of names, which has the long ones well before the end
test: $(READY)
	@$(RUN) python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q -m "not slow" $(PYTEST_ARGS)

slow: $(READY)
	@$(RUN) python -m pytest -n 2 -q -m slow $(PYTEST_ARGS)

stages: $(READY)
	@$(RUN) python -m pipelines.stages

lint: $(READY)
	@$(RUN) ruff check .
	@$(RUN) mypy

# torch alone is several gigabytes: nothing is resolved, everything is pinned
$(READY): requirements.lock
	@test -n "$(PYTHON)" || { echo "error: no Python found; install Python 3.11, or say make PYTHON=/path/to/python3.11"; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "error: $(PYTHON) is not Python 3.11; say make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "installing into $(VENV), about 6 GB"
	@"$(PYTHON)" -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile -r requirements.lock
	@touch $(READY)

# after a change of the dependencies in pyproject.toml: resolve them in .venv and pin what is there
lock:
	@$(VENV)/bin/python -m pip install --quiet .[test]
	@$(VENV)/bin/python -m pip uninstall --quiet --yes penalty-bilevel
	@$(VENV)/bin/python -m pip freeze | sed -E 's/^((nvidia|cuda|triton).*)$$/\1 ; platform_system == "Linux"/' > requirements.lock
