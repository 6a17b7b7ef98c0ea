# Two commands on a fresh machine: `make demo` and `make test`. Both set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export FACEGEN_CAPTURES ?= $(abspath ../shared/captures/arkit)
export FACEGEN_ICT ?= $(abspath ../shared/models/ict-facekit/ict_facekit.npz)
OPENGL_PACKAGES := libegl1 libgl1 libgl1-mesa-dri libosmesa6

.PHONY: help setup system demo test lint types tests chaos simulate landmarker model weights denoise-results compose-weights compose-results benchmark clean clean-kernels

help:
	@echo "make demo       set up, make 256 faces, check them, draw runs/quickstart/preview.png"
	@echo "make test       set up, lint, check types, run all tests"
	@echo "make benchmark  measure this machine (render against pyrender, a whole run)"
	@echo "make landmarker how a stock face detector and landmarker do on our pictures; docs/results/landmarker (ten minutes)"
	@echo "make simulate   the CUDA renderer's whole contract in numba's simulator (three minutes)"
	@echo "make chaos      kill -9 workers and commands at random, 20 times with each executor, and compare (ten minutes)"
	@echo "make model      build the embedded face model again from its sources"
	@echo "make weights    train the shipped denoisers again (an hour; needs recordings, see data/README.md)"
	@echo "make denoise-results  train and measure denoisers on both models (three hours), into docs/results/denoise"
	@echo "make compose-weights  train the shipped autoencoder and what it is compared with again (half an hour)"
	@echo "make compose-results  train and measure the autoencoders on both models (two hours), into docs/results/compose"
	@echo "make setup      only the virtual environment in .venv and the OpenGL libraries"
	@echo "make clean      remove .venv and what the tools cached"

setup: system $(VENV)/.complete

# pyrender pins PyOpenGL 3.1.0, which lacks OSMesa's newer entry points; 3.1.10 works with both EGL and OSMesa.
$(VENV)/.complete: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps PyOpenGL==3.1.10
	@touch $@

# OpenGL serves pyrender and the tests that compare with it; without it facegen renders all the same.
system:
	@if ldconfig -p 2>/dev/null | grep -q libOSMesa && ldconfig -p | grep -q libEGL.so; then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(OPENGL_PACKAGES) >/dev/null; \
	elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then \
	  sudo apt-get update -qq && sudo apt-get install -y -qq $(OPENGL_PACKAGES) >/dev/null; \
	else echo "OpenGL libraries are missing; pyrender tests will be skipped. Install: $(OPENGL_PACKAGES)"; fi

demo: setup
	$(BIN)/facegen run quickstart --out runs/quickstart
	$(BIN)/facegen verify runs/quickstart
	$(BIN)/facegen preview runs/quickstart
	@echo "Look at runs/quickstart/preview.png"

test: setup lint types tests

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy -p facegen

tests:
	$(BIN)/python -m pytest -n 2 --dist loadfile

simulate: setup
	NUMBA_ENABLE_CUDASIM=1 $(BIN)/python -m pytest -q tests/simulated_cuda.py

# A stock face detector and landmarker on our pictures, in an environment of its own: they need an older NumPy.
landmarker: setup
	$(PYTHON) -m venv .venv-landmarker
	.venv-landmarker/bin/pip install --quiet mediapipe==0.10.14 zarr==3.0.10
	for light in studio outdoor indoor; do \
	  $(BIN)/facegen run in-the-wild --out runs/landmarker/$$light --faces 200 --set "sample.light={kind: $$light}" \
	    --set render.effects={} --set render.objects={} || exit 1; \
	done
	$(BIN)/facegen run in-the-wild --out runs/landmarker/in-the-wild --faces 200
	.venv-landmarker/bin/python docs/results/landmarker/judge.py $(foreach run,studio outdoor indoor in-the-wild,runs/landmarker/$(run)) \
	  > docs/results/landmarker/landmarker.json

chaos: setup
	$(BIN)/python -m facegen.tests.chaos --rounds 20
	$(BIN)/python -m facegen.tests.chaos --rounds 20 --executor dask

model: setup
	$(BIN)/python -m facegen.morphable.default.build

weights: setup
	for group in identity expression; do \
	  $(BIN)/facegen train denoise denoise-$$group --out runs/denoise-$$group || exit 1; \
	  for method in convolutional gated posterior; do for kind in safetensors json; do \
	    cp runs/denoise-$$group/$$method.$$kind manifold/weights/default-$$group-$$method.$$kind || exit 1; \
	  done; done; \
	done

denoise-results: weights
	for name in identity expression ict-identity ict-expression; do \
	  $(BIN)/facegen train denoise denoise-$$name --out runs/denoise-$$name || exit 1; \
	  $(BIN)/facegen evaluate denoise runs/denoise-$$name --json --figures runs/denoise-$$name/figures \
	    $(foreach take,range-of-motion-a range-of-motion-b,--recordings $(FACEGEN_CAPTURES)/$(take).csv) \
	    > docs/results/denoise/$$name.json || exit 1; \
	done

compose-weights: setup
	$(BIN)/facegen train compose compose --out runs/compose
	for kind in safetensors json; do cp runs/compose/weighted.$$kind composition/weights/default.$$kind || exit 1; done

compose-results: compose-weights
	for name in compose compose-ict; do \
	  $(BIN)/facegen train compose $$name --out runs/$$name || exit 1; \
	  $(BIN)/facegen evaluate compose runs/$$name --json --figures runs/$$name/figures \
	    $(foreach take,range-of-motion-a range-of-motion-b,--recordings $(FACEGEN_CAPTURES)/$(take).csv) \
	    > docs/results/compose/$$name.json || exit 1; \
	done

benchmark: setup
	$(BIN)/facegen benchmark render --platform osmesa
	$(BIN)/facegen benchmark render --platform egl
	$(BIN)/facegen benchmark run --faces 5120
	$(BIN)/facegen benchmark scale
	$(BIN)/facegen benchmark plan
	$(BIN)/facegen benchmark denoise
	$(BIN)/facegen benchmark compose

clean-kernels:
	find . -name '*.nb[ic]' -not -path './$(VENV)/*' -delete

clean: clean-kernels
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
