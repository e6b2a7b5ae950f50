# Every target sets up what it needs: a virtual environment in .venv, from pinned versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check clean

demo: $(READY)  ## draw a synthetic drive, segment it, score it, and say where the pictures are
	$(BIN)/contextnet demo --output demo

test: $(READY)  ## run the tests
	$(BIN)/pytest -n 2 --dist loadfile

check: $(READY)  ## lint, formatting, types, import order
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) could not make $(VENV); on Debian, apt install python3-venv may help"; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev]'
	touch $@

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
