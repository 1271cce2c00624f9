# Everything is done in a virtual environment that the first target makes. Nothing else is needed: no Docker, no server,
# no variable. These can be set:
#
#   PYTHON     the Python to make the environment with, 3.11 to 3.14
#   TORCH      another build or version of torch, as in TORCH=torch==2.13.0+cu126
#   PIP_ARGS   what pip is told besides, such as an index that has this build: PIP_ARGS='--extra-index-url ADDRESS'
#   VENV       where the environment lies

PYTHON ?= python3
TORCH ?= $(shell grep '^torch==' constraints.txt)
PIP_ARGS ?=
VENV ?= .venv

BIN := $(VENV)/bin
RUNTIME := $(VENV)/runtime.stamp
DEVELOPMENT := $(VENV)/development.stamp
WITH_A_SERVER := tests/integration tests/migration
OWN_CHOICE := env -u SEGJOB_TEST_DATABASE_URL -u SEGJOB_TEST_PG_BIN -u SEGJOB_TEST_BUNDLED_VERSION -u SEGJOB_TEST_CONTAINERS
INSTALLED_SERVERS := $(patsubst %/postgres,SEGJOB_TEST_PG_BIN=%,$(wildcard /usr/lib/postgresql/1[4-8]/bin/postgres))
SERVERS := SEGJOB_TEST_BUNDLED_VERSION=18 SEGJOB_TEST_BUNDLED_VERSION=16 $(INSTALLED_SERVERS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: help
help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(RUNTIME)  ## a small shop in the bundled Postgres, segmented, with SQL to paste and a report
	$(BIN)/segjob demo

.PHONY: test
test: lint types  ## everything: lint, types, import rules and all tests
	$(BIN)/pytest

.PHONY: lint
lint: $(DEVELOPMENT)  ## style, format and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

.PHONY: types
types: $(DEVELOPMENT)  ## mypy, strict
	$(BIN)/mypy

.PHONY: test-matrix
test-matrix: $(DEVELOPMENT)  ## what needs a server, on every version of Postgres at hand
	@for server in $(SERVERS); do \
	    echo "== $$server"; \
	    $(OWN_CHOICE) $$server $(BIN)/pytest -q $(WITH_A_SERVER) || failed="$$failed $$server"; \
	done; \
	[ -z "$$failed" ] || { echo "failed on:$$failed"; exit 1; }

.PHONY: test-containers
test-containers: $(DEVELOPMENT)  ## the same on SEGJOB_TEST_POSTGRES_IMAGE, through testcontainers
	$(OWN_CHOICE) SEGJOB_TEST_CONTAINERS=1 $(BIN)/pytest -q $(WITH_A_SERVER)

.PHONY: test-image
test-image: $(DEVELOPMENT)  ## the image and the compose file, on a Docker engine; SEGJOB_BASE_IMAGE and DOCKER_ARGS may be set
	docker build --tag segjob:test $(addprefix --build-arg BASE_IMAGE=,$(SEGJOB_BASE_IMAGE)) $(DOCKER_ARGS) .
	SEGJOB_TEST_IMAGE=segjob:test $(BIN)/pytest tests/acceptance/test_image.py

.PHONY: clean
clean:  ## remove the environment, the demo's data and what tools leave behind
	rm -rf $(VENV) .segjob build dist
	rm -rf .grimp_cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find segjob migrations tests -name __pycache__ -prune -exec rm -rf {} +

# One run of pip, so that torch is the constrained one also where another package asks for it. Its constraint is taken
# out because TORCH says which.
define install
	@echo "installing into $(VENV), which takes some minutes the first time"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_ARGS) \
	    --constraint $(VENV)/constraints.txt '$(TORCH)' --editable '.[$(1)]'
endef

$(RUNTIME): pyproject.toml constraints.txt
	$(call install,embedded$(comma)report)
	touch $@

$(DEVELOPMENT): pyproject.toml constraints.txt
	$(call install,embedded$(comma)report$(comma)dev)
	touch $(RUNTIME) $@

comma := ,
