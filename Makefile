# Everything starts from git, make and a Python >= 3.11: the rest is installed into .venv from requirements.lock.

VENV  := .venv
PY    := $(VENV)/bin/python
STAMP := $(VENV)/.installed-for
PYTHON ?=
PYTEST_ARGS ?=
# Half of the time tests wait for other processes: more of them at once than a small machine has cores.
PARALLEL ?= 4

.DEFAULT_GOAL := help
.PHONY: help setup dev demo test check format bench screenshots tour lock force

# The stamp names the directory it was made for, since a virtual environment holds absolute paths and does not survive
# a move; `test -x` follows the link, so an environment whose interpreter is gone is not believed either.
ifneq ($(shell test -x $(PY) && cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): force
endif

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Install everything into .venv, once
	@echo "$(VENV) is ready."

dev: $(STAMP) ## The same, and say what to do next
	@echo "Ready. Next:"
	@echo "  . $(VENV)/bin/activate     then durable-claude --help"
	@echo "  make demo                  a session that survives its worker"
	@echo "  make check                 lint and types, in seconds"
	@echo "  make test                  everything; PYTEST_ARGS='tests/unit -k settings' for a part"

demo: $(STAMP) ## Watch a session survive the death of its worker
	@$(VENV)/bin/durable-claude demo

test: check ## Lint, types and every test; nothing may be left running
	$(PY) tests/guard.py -m pytest -n $(PARALLEL) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(STAMP) ## Lint, format and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(STAMP) ## Put the code into the one format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(STAMP) ## Measure against the bare CLI (BENCH_JSON=file for JSON)
	$(PY) -m bench

screenshots: $(STAMP) ## Take the pictures of docs/web-ui.md (needs chromium and its driver)
	$(PY) -m demo.screenshots

tour: $(STAMP) ## Write docs/tour.md anew, from what the commands print
	$(PY) -m demo.tour

lock: ## Renew requirements.lock (needs uv)
	uv pip compile pyproject.toml --extra embedded --extra encryption --extra tracing --group test --group check --group build \
	  --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet --output-file requirements.lock

# The stamp goes first and comes back last: an interrupted setup leaves none, and the next one starts from nothing.
$(STAMP): requirements.lock pyproject.toml
	@if [ "$$(cat $@ 2>/dev/null)" = "$(CURDIR)" ] && [ -x $(PY) ]; then rm -f $@; else rm -rf $(VENV); fi
	@if [ ! -x $(PY) ]; then \
	  for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "No Python >= 3.11 with the venv module was found (tried $(PYTHON) python3, python3.13, python3.12, python3.11)." >&2; \
	    echo "Install one (on Debian and Ubuntu also its -venv package), or name it: make setup PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	  fi; \
	  echo "Setting up $(VENV) with $$("$$found" --version) (about 1 GB, once) ..."; \
	  "$$found" -m venv $(VENV); \
	fi
	$(PY) -m pip install --disable-pip-version-check --no-input --only-binary :all: --require-hashes -r requirements.lock
	$(PY) -m pip install --disable-pip-version-check --no-input --no-build-isolation --no-deps --no-index --editable .
	@printf '%s\n' '$(CURDIR)' > $@
