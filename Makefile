# Every target sets up what it needs: a virtual environment in .venv, from pinned versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SEEING := $(VENV)/.seeing

# What the GPU targets take; see docs/gpu.md.
CAMVID ?= ../shared/data/camvid
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
OUT ?= gpu-out
FROM ?= gpu-out

.PHONY: demo test check gpu-pack gpu gpu-unpack clean

demo: $(SEEING)  ## draw a synthetic drive, segment it, score it, and say where the pictures are
	$(BIN)/contextnet demo --output demo

test: $(READY)  ## run the tests
	$(BIN)/pytest -n 2 --dist loadfile

check: $(READY)  ## lint, formatting, types, import order
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --strict examples
	$(BIN)/lint-imports

gpu-pack: $(READY)  ## pack data and wheels for a machine without network
	$(BIN)/python -m scripts.gpu.pack --camvid $(CAMVID)

gpu:  ## on a CUDA GPU: measure, then train what the queue holds; skips visibly without one
	$(GPU_PYTHON) -m scripts.gpu.run --out $(OUT) $(GPU_ARGS)

gpu-unpack: $(READY)  ## put the runs that came back where the next command goes on with them
	$(BIN)/python -m scripts.gpu.unpack $(FROM)

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) could not make $(VENV); on Debian, apt install python3-venv may help"; exit 1; }

# What segments: no PyTorch, a few hundred megabytes.
$(SEEING): pyproject.toml constraints.txt | $(BIN)/pip
	test $(READY) -nt pyproject.toml -a $(READY) -nt constraints.txt || \
	  $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

# What trains, exports and tests as well.
$(READY): pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[export,train,dev]'
	touch $@ $(SEEING)

clean:
	rm -rf $(VENV) demo build dist gpu-pack .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
