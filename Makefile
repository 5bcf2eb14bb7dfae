# Attention by Experiment. `make book` builds the site, `make test` proves it.
# Every target sets up .venv by itself, once; a second run installs nothing.

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/ready
# TORCH=cpu: on Linux, take PyTorch's own CPU build instead of gigabytes of CUDA libraries.
PIP_EXTRA := $(if $(filter cpu,$(TORCH)),--extra-index-url https://download.pytorch.org/whl/cpu)

.PHONY: help book serve test notebooks student bench proofs proofs-fresh clean

help:
	@echo "make book       build the site and say where to open it (TORCH=cpu on Linux saves gigabytes)"
	@echo "                (make book SOLUTIONS=no: without solutions, for a course's own site)"
	@echo "make serve      serve the site on this computer"
	@echo "make test       prove everything: code, notebooks, editions, site, pages"
	@echo "make notebooks  run the chapters, store their outputs, print the editions"
	@echo "make student    print the student notebooks"
	@echo "make bench      time attnlib beside its peers"
	@echo "make proofs     the slow proofs of what has changed, stored with their date"
	@echo "make proofs-fresh   fail if a stored proof is of what has changed since"
	@echo "make clean      remove what was built"

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed: install it, then run make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv is missing: on Debian or Ubuntu, sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check $(PIP_EXTRA) -r requirements.txt
	$(PY) -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@

book: $(READY)
ifeq ($(SOLUTIONS),no)
	$(PY) -m press course
	@echo
	@echo "The site without solutions is $(CURDIR)/_build/course: publish that folder."
else
	$(VENV)/bin/jupyter-book build .
	@echo
	@echo "Open $(CURDIR)/_build/html/index.html in a browser, or run: make serve"
endif

serve: book
	@echo "The book is at http://127.0.0.1:$(PORT) until you press Ctrl+C. (Another port: make serve PORT=8001)"
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

test: $(READY)
	$(PY) -m pytest -p tests.skips tests attnlib classroom press book README.md \
	  --doctest-modules --doctest-glob=README.md --nbval \
	  -n auto --maxprocesses 4 --dist loadfile

notebooks: $(READY)
	$(PY) -m press notebooks
	$(PY) -m press claims
	$(PY) -m press student
	$(PY) -m press reference

student: $(READY)
	$(PY) -m press student
	$(PY) -m press reference

bench: $(READY)
	$(PY) -m pip install --disable-pip-version-check --quiet -r benchmarks/requirements.txt
	$(PY) -m benchmarks
	$(PY) -m benchmarks.grading

proofs: $(READY)
	$(PY) -m pip install --disable-pip-version-check --quiet -r proofs/requirements.txt
	$(PY) -m proofs.exercises
	$(PY) -m proofs.newcomer
	$(PY) -m proofs.attacks
	$(PY) proofs/repeat.py
	$(PY) -m proofs.mutation
	$(PY) -m proofs.verdicts

proofs-fresh: $(READY)
	$(PY) -m proofs --fresh

clean:
	rm -rf _build
