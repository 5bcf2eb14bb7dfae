# Attention by Experiment. `make book` builds the site, `make test` proves it.
# Every target sets up .venv by itself, once; a second run installs nothing.

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY := $(BIN)/python
# What the site needs, without torch; and everything. TORCH=cpu: on Linux, PyTorch's own CPU build.
SITE := $(VENV)/site
READY := $(VENV)/ready
export TORCH
# Some tests wait, for a browser or a limit: two more than there are processors, and at most four.
WORKERS = $(shell $(PYTHON) -c "import os; print(min(4, (os.cpu_count() or 1) + 2))")
# Where a container forbids bytecode, each of hundreds of kernels would compile torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help book serve ready test test-site test-versions quick edit notebooks student bench proofs proofs-fresh lock clean

help:
	@echo "make book       build the site and say where to open it"
	@echo "                (make book SOLUTIONS=no: without solutions, for a course's own site)"
	@echo "make serve      serve the site on this computer"
	@echo "make ready      install all that the notebooks, the classroom and the tests need"
	@echo "make test       prove everything: code, notebooks, site, pages"
	@echo "                (make ready TORCH=cpu first: on Linux, without gigabytes of CUDA)"
	@echo "make test-versions   run the student notebooks with Binder's, Colab's, the oldest and the"
	@echo "                newest versions (make test-versions SET=Colab: one of them)"
	@echo "make quick      the linter, and the tests of what you have changed"
	@echo "                (make quick E=3.2: one exercise; make quick QUICK=all: all mathematics)"
	@echo "make edit NAME=05_positions   a chapter as text, and back with its outputs"
	@echo "make test-site  prove every page of the site in a browser, at every width, and the figures to"
	@echo "                play with by finger and by keys"
	@echo "make notebooks  run the chapters, store their outputs, print what is made from them"
	@echo "make student    print the student notebooks and the pages about attnlib"
	@echo "make bench      time attnlib beside its peers"
	@echo "make proofs     the slow proofs of what has changed, stored with their date"
	@echo "make proofs-fresh   fail if a stored proof is of what has changed since"
	@echo "make lock       resolve requirements.txt anew from pyproject.toml and press/"
	@echo "make clean      remove what was built"

$(SITE): press/requirements.txt requirements.txt
	$(call install,site)
	@touch $@

$(READY): requirements.txt press/requirements.txt pyproject.toml
	$(call install,all)
	@touch $(SITE) $@

define install
@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON): install Python 3.11 or newer from\
 python.org or your system's packages, then run make $(MAKECMDGOALS)"; exit 1; }
@$(PYTHON) press/environment.py $(1) "make $(MAKECMDGOALS)"
endef

ready: $(READY)

book: $(SITE)
ifeq ($(SOLUTIONS),no)
	$(PY) -m press course
	@echo
	@echo "The site without solutions is $(CURDIR)/_build/course: publish that folder."
else
	$(BIN)/jupyter-book build .
	@echo
	@$(PY) -m press address
	@echo "Open $(CURDIR)/_build/html/index.html in a browser, or run: make serve"
endif

serve: book
	@echo "The book is at http://127.0.0.1:$(PORT) until you press Ctrl+C. (Another port: make serve PORT=8001)"
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

# What is long comes first (conftest.py), so that no worker is left alone with it at the end. Each
# worker has one thread: more would wait for each other on the same processors.
test: $(READY)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PY) -m pytest -p tests.skips \
	  book tests attnlib benchmarks classroom press README.md \
	  --doctest-modules --doctest-glob=README.md --nbval \
	  -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-versions: $(READY)
	$(PY) -m pip install --disable-pip-version-check --quiet -r proofs/requirements.txt
	$(PY) -m proofs.versions $(SET)

quick: $(READY)
	@$(PY) tests/quick.py $(or $(E),$(QUICK))

test-site: $(READY)
	$(PY) -m pytest -m whole tests tests/whole_site.py -n $(WORKERS)

notebooks: $(READY)
	$(PY) -m press notebooks
	$(PY) -m press claims
	$(PY) -m press student
	$(PY) -m press reference
	$(PY) -m proofs

edit: $(READY)
	@$(PY) -m press edit $(NAME)

student: $(SITE)
	$(PY) -m press student
	$(PY) -m press claims
	$(PY) -m press reference
	$(PY) -m press map

bench: $(READY)
	$(PY) -m pip install --disable-pip-version-check --quiet -r benchmarks/requirements.txt
	$(PY) -m benchmarks
	$(PY) -m benchmarks.grading

proofs: $(READY)
	$(PY) -m pip install --disable-pip-version-check --quiet -r proofs/requirements.txt
	$(PY) -m proofs.exercises
	$(PY) -m proofs.newcomer
	$(PY) -m proofs.play_in_lab
	$(PY) -m proofs.attacks
	$(PY) -m proofs.repeat
	$(PY) -m proofs.mutation
	$(PY) -m proofs.verdicts

proofs-fresh: $(READY)
	$(PY) -m proofs --fresh

# Versions stay where they are unless what is asked for forbids them: to move all, empty the lock.
# CUDA's libraries are left out: torch brings them where its build wants them.
lock: $(SITE)
	$(PY) -m pip install --disable-pip-version-check --quiet -r proofs/requirements.txt
	cp requirements.txt $(VENV)/lock
	grep -v '^-c' press/requirements.txt | $(BIN)/uv pip compile pyproject.toml - \
	  --all-extras --group test --universal --python-version 3.11.2 --no-annotate --quiet \
	  --custom-compile-command "make lock" --output-file $(VENV)/lock
	grep -vE '^(cuda|nvidia)-|^triton=' $(VENV)/lock > requirements.txt
	{ echo "--extra-index-url https://download.pytorch.org/whl/cpu"; \
	  $(BIN)/uv pip compile pyproject.toml --extra notebooks --constraints requirements.txt \
	  --no-deps --no-annotate --quiet --custom-compile-command "make lock"; } \
	  > binder/requirements.txt

clean:
	rm -rf _build
