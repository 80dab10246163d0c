# `make demo` and `make test` do all of their set-up in a fresh checkout; needs Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORES ?= all

.PHONY: help demo test check soak bench scale weights lock nnunet clean-demo

help:  ## Show this help.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(READY)  ## Run the demonstration study; ends with results/demo/report.html.
	$(BIN)/snakemake --configfile config/demo.yaml --cores $(CORES) --quiet rules host

test: $(READY) check  ## Run the static checks and all tests.
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

check: $(READY)  ## Run the static checks: ruff, mypy, snakefmt, snakemake --lint.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

N ?= 16
SEED ?= 0
soak: $(READY)  ## Disturb a small study N times, from round SEED on: kills, full disks, damaged files.
	$(BIN)/python -m tests.workflow.soak --rounds $(N) --seed $(SEED)

bench: $(READY)  ## Measure speed and memory beside the peers, as ratios in one run.
	$(BIN)/python -m tests.bench.bench_metrics
	$(BIN)/python -m tests.bench.bench_analysis
	$(BIN)/python -m tests.bench.bench_segvol
	$(BIN)/python -m tests.bench.bench_pam
	if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
		$(BIN)/python -m tests.bench.bench_pam_gpu; fi
	$(BIN)/python -m tests.bench.bench_medsam

scale: $(READY)  ## Measure what the workflow itself costs, and how its memory grows.
	$(BIN)/python -m tests.bench.bench_scale

ON_TWO := OMP_NUM_THREADS=1 $(BIN)/torchrun --nproc-per-node 2 --no-python $(BIN)/pambench train

weights: $(READY)  ## Train the small networks anew, into data/training/pam-small; ten hours on two cores.
	$(BIN)/pambench train small-propmask-first --output data/training/small-first --resume
	$(BIN)/pambench train small-propmask-second --output data/training/small-second --resume \
		--start data/training/small-first/propmask.safetensors
	$(BIN)/pambench train small-propmask-third --output data/training/small-third --resume \
		--start data/training/small-second/propmask.safetensors
	$(BIN)/pambench train small-propmask-fourth --output data/training/small-fourth --resume \
		--start data/training/small-third/propmask.safetensors
	$(ON_TWO) small-propmask-fifth --output data/training/small-fifth --resume --workers 0 \
		--device cpu --from data/training/small-fourth/propmask.safetensors
	$(ON_TWO) small-propmask --output data/training/small --resume --workers 0 --device cpu \
		--from data/training/small-fifth/propmask.safetensors
	$(BIN)/pambench train small-box2mask-first --output data/training/small-box-first --resume
	$(BIN)/pambench train small-box2mask-second --output data/training/small-box-second --resume \
		--start data/training/small-box-first/box2mask.safetensors
	$(BIN)/pambench train small-box2mask --output data/training/small-box --resume \
		--start data/training/small-box-second/box2mask.safetensors
	mkdir -p data/training/pam-small
	cp data/training/small/propmask.safetensors data/training/small-box/box2mask.safetensors \
		data/training/pam-small

lock: $(READY)  ## Pin every version anew in requirements.lock.
	$(BIN)/pip-compile --quiet --upgrade --extra cluster --extra dev --strip-extras --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
		--upgrade-package torch==2.13.0 --output-file requirements.lock pyproject.toml
	sed -i -e 's/^torch==2.13.0+cpu/torch==2.13.0/' \
		-e 's/^backports-zstd==[0-9.]*/& ; python_version < "3.14"/' requirements.lock

nnunet: .venv-nnunet/.ready  ## Make the environment of nnU-Net, which methods of that name need.

.venv-nnunet/.ready: baselines/nnunet/requirements.lock
	$(PYTHON) -m venv .venv-nnunet
	.venv-nnunet/bin/python -m pip install --quiet --requirement $<
	@touch $@

clean-demo: $(READY)  ## Remove what the demonstration made, and the generated datasets.
	$(BIN)/snakemake --configfile config/demo.yaml --delete-all-output --quiet all
	rm -rf results/demo data/P0[1-9] data/P1[0-2]
	test ! -d results || find results -depth -type d -empty -delete

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, this is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@
