# Everything lives in .venv at the root, and what tensorflow-io needs in a .venv of its
# own; `make clean` removes both.

PYTHON ?= python3
# Arguments of `asit quickstart`, and extra arguments of pytest.
ARGS ?=
PYTEST_ARGS ?=
# The word after the last --backend in ARGS; TensorFlow without one.
PAIRS = $(subst --backend ,--backend/,$(strip $(subst --backend=,--backend ,$(ARGS))))
ASKED = $(patsubst --backend/%,%,$(lastword $(filter --backend/%,$(PAIRS))))
BACKEND ?= $(or $(filter tensorflow jax torch,$(ASKED)),tensorflow)

VENV := .venv
VENV_IO := .venv-tensorflow-io
EXTRAS_tensorflow := tensorflow,plots
EXTRAS_jax := jax,plots
EXTRAS_torch := torch,plots
EXTRAS_test := tensorflow,jax,dev,tutorials,plots,tensorboard,shards
EXTRAS_test-tensorflow-io := tensorflow-io,jax
TOOLS_test-tensorflow-io := pytest pytest-timeout
# Set-up is done when the stamp is newer than what it was made from.
STAMP := $(VENV)/.installed-
STAMP_IO := $(VENV_IO)/.installed-
SOURCES := pyproject.toml keras_asit/version.py

.PHONY: help quickstart test test-large test-tensorflow-io lint format clean
.DELETE_ON_ERROR:

help:
	@echo 'make quickstart   set up what is missing, then pretrain and fine-tune a small ASiT'
	@echo '                  ARGS="--data MANIFEST --backend jax --out DIR" go to asit quickstart'
	@echo 'make test         set up what is missing, then lint and test on TensorFlow and JAX'
	@echo '                  PYTEST_ARGS="-k gmml" go to pytest'
	@echo 'make test-large   the tests that take long'
	@echo 'make test-tensorflow-io   set up its own .venv-tensorflow-io, test audio and data in it'
	@echo 'make lint         ruff check and ruff format --check'
	@echo 'make format       let ruff mend what it can'
	@echo 'make clean        remove both .venv, caches and logs'
	@echo 'PYTHON=python3.12 chooses the interpreter of a new .venv'

quickstart: $(STAMP)$(BACKEND)
	$(VENV)/bin/asit quickstart --backend $(BACKEND) $(ARGS)

test: lint
	$(VENV)/bin/python tests/run.py $(PYTEST_ARGS)

test-large: $(STAMP)test
	$(VENV)/bin/python tests/run.py -m large --timeout=3600 $(PYTEST_ARGS)

test-tensorflow-io: $(STAMP_IO)test-tensorflow-io
	KERAS_BACKEND=tensorflow $(VENV_IO)/bin/python -m pytest tests/audio tests/data \
	  $(PYTEST_ARGS)

lint: $(STAMP)test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(STAMP)test
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) $(VENV_IO) build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian splits ensurepip off its python3; there the system's pip puts a pip into .venv.
define VENV_WITHOUT_ENSUREPIP
rm -rf $(@D); \
$(PYTHON) -m venv --without-pip $(@D) \
  && $(PYTHON) -m pip --python $(@D)/bin/python install --quiet pip \
  || { rm -rf $(@D); \
  echo "Cannot make $(@D): $(PYTHON) has neither ensurepip nor pip 22.3 or newer." \
    "Install one: apt-get install python3-venv" >&2; \
  exit 1; }
endef

define CREATE
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "keras-asit needs Python 3.11 or newer, but $(PYTHON) is" \
    "$$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; \
  exit 1; }
@echo "Making $(@D) with $$($(PYTHON) --version)"
@rm -rf $(@D)
@$(PYTHON) -m venv $(@D) >/dev/null 2>&1 || { $(VENV_WITHOUT_ENSUREPIP); }
@$(@D)/bin/python -m pip install --quiet --upgrade pip
@touch $@
endef

# The versions are those of the file of constraints, the last prerequisite.
define INSTALL
@echo "Installing keras-asit[$(EXTRAS_$*)] into $(@D); the first time takes minutes"
@touch $(@D)/.unfinished
$(@D)/bin/python -m pip install -c $(lastword $^) -e '.[$(EXTRAS_$*)]' $(TOOLS_$*)
@rm $(@D)/.unfinished
@touch $@
endef

# pip can take a half-unpacked package for an installed one. An install that did not
# finish therefore leaves .venv/.unfinished, and the next make begins a new .venv.
$(VENV)/.created: $(wildcard $(VENV)/.unfinished)
	$(CREATE)

$(VENV_IO)/.created: $(wildcard $(VENV_IO)/.unfinished)
	$(CREATE)

$(STAMP)%: $(VENV)/.created $(SOURCES) constraints.txt
	$(INSTALL)

$(STAMP_IO)%: $(VENV_IO)/.created $(SOURCES) constraints-tensorflow-io.txt
	$(INSTALL)
