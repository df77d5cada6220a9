# `make help` lists what this can do.
# A fresh machine needs Python 3.11 or newer, make, and a way to the package registries; `make
# install` brings the rest into .venv beside this file, and Chromium for the browser tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CLIENTS := .venv-clients
MLSERVER := .venv-mlserver
TORCH := torch==2.13.0

# The lock decides every version; uv is to use the Python of .venv and to fetch no other.
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
# As pip does: a network with a certificate authority of its own has told the system about it.
export UV_SYSTEM_CERTS ?= 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

.PHONY: install
install: $(INSTALLED) $(CLIENTS)/.installed $(MLSERVER)/.installed ## Make .venv with all that Demijohn, its tests and its docs need
	@sh tests/install_chromium.sh $(VENV)/.chromium-tried

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Demijohn needs Python 3.11 or newer; say which: make PYTHON=/path/to/python3.11 install"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "This Python makes no environments; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# Our own code is installed editable, so only a change of what we depend on asks for this again, or of
# the C kernels, which are compiled then (hatch_build.py).
# PyTorch stands outside the lock (pyproject.toml says why), and an exact sync removes what does.
$(INSTALLED): pyproject.toml uv.lock Makefile hatch_build.py $(wildcard src/demijohn/kernels/*.[ch]) | $(BIN)/uv
	@$(BIN)/uv sync --quiet --frozen --compile-bytecode --all-extras --all-groups
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore $(TORCH)
	@touch $@

# Clients of the dialects pin what they stand on, each otherwise than we do.
$(CLIENTS)/.installed: tests/clients/requirements.txt | $(INSTALLED)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(CLIENTS)
	@$(BIN)/uv pip install --quiet --python $(CLIENTS)/bin/python -r tests/clients/requirements.txt
	@touch $@

$(MLSERVER)/.installed: tests/clients/requirements-mlserver.txt | $(INSTALLED)
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(MLSERVER)
	@$(BIN)/uv pip install --quiet --python $(MLSERVER)/bin/python -r $<
	@touch $@

.PHONY: demo
demo: $(INSTALLED) ## Fit five models on real data, serve them and a function; ARGS="--port 9000" reaches serve
	@$(BIN)/python demo/demo.py $(ARGS)

.PHONY: test
test: install ## Run every test, two files at a time; ARGS="tests/web -n 0" reaches pytest
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: fuzz
fuzz: $(INSTALLED) ## Let 100,000 spoiled bodies at each decoder (many minutes); ARGS="-k v2" takes some
	FUZZ_EXAMPLES=100000 $(BIN)/pytest -n 2 --dist load --hypothesis-show-statistics tests/protocols/test_fuzz.py $(ARGS)

.PHONY: lint
lint: $(INSTALLED) ## Look at format, style, types, floors and docs; run no test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory docs

.PHONY: check
check: lint test ## lint, then test: what must pass before a push

.PHONY: format
format: $(INSTALLED) ## Let ruff put the code in order
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: coverage
coverage: install ## Run every test and say which lines none of them reached
	@mkdir -p build/coverage
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report

.PHONY: docs
docs: $(INSTALLED) ## Build the documentation into build/docs; a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b html -d build/doctrees docs build/docs

.PHONY: bench
bench: $(INSTALLED) ## Compare with other servers on the same models (needs wrk; hours); ARGS="--peers demijohn,asgi"
	$(BIN)/python bench/compare.py $(ARGS)

.PHONY: profile
profile: $(INSTALLED) ## Show where the microseconds of one request go, step by step (a minute)
	$(BIN)/python bench/steps.py $(ARGS)

.PHONY: resilience
resilience: $(INSTALLED) ## Kill workers, drain and overload a server, and print the figures (needs wrk)
	$(BIN)/python bench/resilience.py $(ARGS)

.PHONY: clean
clean: ## Remove what was built; `rm -rf .venv` removes the environment too
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
