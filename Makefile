# Everything lives in .venv at the root; `make clean` removes it.

PYTHON ?= python3
# Arguments of `asit quickstart`, and extra arguments of pytest.
ARGS ?=
PYTEST_ARGS ?=
# The word after the last --backend in ARGS; TensorFlow without one.
PAIRS = $(subst --backend ,--backend/,$(strip $(subst --backend=,--backend ,$(ARGS))))
ASKED = $(patsubst --backend/%,%,$(lastword $(filter --backend/%,$(PAIRS))))
BACKEND ?= $(or $(filter tensorflow jax torch,$(ASKED)),tensorflow)

VENV := .venv
PIP := $(VENV)/bin/python -m pip
EXTRAS_tensorflow := tensorflow,plots
EXTRAS_jax := jax,plots
EXTRAS_torch := torch,plots
EXTRAS_test := tensorflow,jax,dev,tutorials,plots,shards
# Set-up is done when the stamp is newer than what it was made from.
STAMP := $(VENV)/.installed-
SOURCES := pyproject.toml constraints.txt keras_asit/version.py

.PHONY: help quickstart test test-large lint format clean
.DELETE_ON_ERROR:

help:
	@echo 'make quickstart   set up what is missing, then pretrain and fine-tune a small ASiT'
	@echo '                  ARGS="--data MANIFEST --backend jax --out DIR" go to asit quickstart'
	@echo 'make test         set up what is missing, then lint and test on TensorFlow and JAX'
	@echo '                  PYTEST_ARGS="-k gmml" go to pytest'
	@echo 'make test-large   the tests that take long'
	@echo 'make lint         ruff check and ruff format --check'
	@echo 'make format       let ruff mend what it can'
	@echo 'make clean        remove .venv, caches and logs'
	@echo 'PYTHON=python3.12 chooses the interpreter of a new .venv'

quickstart: $(STAMP)$(BACKEND)
	$(VENV)/bin/asit quickstart --backend $(BACKEND) $(ARGS)

test: lint
	$(VENV)/bin/python tests/run.py $(PYTEST_ARGS)

test-large: $(STAMP)test
	$(VENV)/bin/python tests/run.py -m large --timeout=3600 $(PYTEST_ARGS)

lint: $(STAMP)test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(STAMP)test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian splits ensurepip off its python3; there the system's pip puts a pip into .venv.
define VENV_WITHOUT_ENSUREPIP
rm -rf $(VENV); \
$(PYTHON) -m venv --without-pip $(VENV) \
  && $(PYTHON) -m pip --python $(VENV)/bin/python install --quiet pip \
  || { rm -rf $(VENV); \
  echo "Cannot make $(VENV): $(PYTHON) has neither ensurepip nor pip 22.3 or newer." \
    "Install one: apt-get install python3-venv" >&2; \
  exit 1; }
endef

# pip can take a half-unpacked package for an installed one. An install that did not
# finish therefore leaves .venv/.unfinished, and the next make begins a new .venv.
$(VENV)/.created: $(wildcard $(VENV)/.unfinished)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "keras-asit needs Python 3.11 or newer, but $(PYTHON) is" \
	    "$$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { $(VENV_WITHOUT_ENSUREPIP); }
	@$(PIP) install --quiet --upgrade pip
	@touch $@

$(STAMP)%: $(VENV)/.created $(SOURCES)
	@echo "Installing keras-asit[$(EXTRAS_$*)] into $(VENV); the first time takes minutes"
	@touch $(VENV)/.unfinished
	$(PIP) install -c constraints.txt -e '.[$(EXTRAS_$*)]'
	@rm $(VENV)/.unfinished
	@touch $@
