# Everything is done in a virtual environment that the first target makes. Nothing else is needed: no Docker, no server,
# no variable. These can be set:
#
#   PYTHON     the Python to make the environment with, 3.11 to 3.14
#   TORCH      another build or version of torch, as in TORCH=torch==2.13.0+cu126
#   PIP_ARGS   what pip is told besides, such as an index that has this build: PIP_ARGS='--extra-index-url ADDRESS'
#   VENV       where the environment lies
#   POINTS     `all`: the faults at every point, in hours, instead of a choice in minutes
#
# For the load test:
#
#   CUSTOMERS, READERS, WRITERS, SECONDS   how many of each, and for how long
#   PAUSE                                  seconds that a reader thinks between two looks; 0 looks as fast as it can
#   LIMIT                                  how many times longer readers may wait beside a run (99th percentile); none: LIMIT=
#
# And for the benchmarks:
#
#   ROWS, FEATURES, K, KEY, NULLS   the customers: how many, how wide, segments, type of the key (bigint, int, uuid, text),
#                                   the share of every feature that is NULL
#   TIMES                           rounds
#   WITH                            who is measured besides, as in WITH=pandas, which large tables go without
#   BENCH_ARGS                      further options of `python -m benchmarks`, as in BENCH_ARGS='--second-version'

PYTHON ?= python3
TORCH ?= $(shell grep '^torch==' constraints.txt)
PIP_ARGS ?=
VENV ?= .venv
POINTS ?= some
ROWS ?= 5000000
FEATURES ?= 7
K ?= 8
KEY ?= bigint
NULLS ?= 0
TIMES ?= 3
CUSTOMERS ?= 2000000
READERS ?= 20
WRITERS ?= 4
SECONDS ?= 120
PAUSE ?= 0
LIMIT ?= 2
WITH ?=
BENCH_ARGS ?=

BIN := $(VENV)/bin
RUNTIME := $(VENV)/runtime.stamp
DEVELOPMENT := $(VENV)/development.stamp
BENCHMARKS := $(VENV)/benchmarks.stamp
ON_ALL_CORES := -n auto --dist worksteal
OF_ANY_LENGTH := -m 'long or not long'
DEBIAN_INSTALL := apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends
WITH_A_SERVER := tests/integration tests/migration
OWN_CHOICE := env -u SEGJOB_TEST_DATABASE_URL -u SEGJOB_TEST_PG_BIN -u SEGJOB_TEST_BUNDLED_VERSION -u SEGJOB_TEST_CONTAINERS
INSTALLED_SERVERS := $(patsubst %/postgres,SEGJOB_TEST_PG_BIN=%,$(wildcard /usr/lib/postgresql/1[4-8]/bin/postgres))
SERVERS := SEGJOB_TEST_BUNDLED_VERSION=18 SEGJOB_TEST_BUNDLED_VERSION=16 $(INSTALLED_SERVERS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: help
help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(RUNTIME)  ## a small shop in the bundled Postgres, segmented, with SQL to paste and a report
	$(BIN)/segjob demo

.PHONY: test
test: lint types  ## lint, types, import rules and the tests, but for the long ones
	$(BIN)/pytest $(ON_ALL_CORES)

.PHONY: test-long
test-long: $(DEVELOPMENT)  ## the tests that take their time: years of runs, searches of every file, everything beside everything
	$(BIN)/pytest $(ON_ALL_CORES) -m long

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
	    $(OWN_CHOICE) $$server $(BIN)/pytest -q $(ON_ALL_CORES) $(OF_ANY_LENGTH) $(WITH_A_SERVER) || failed="$$failed $$server"; \
	done; \
	[ -z "$$failed" ] || { echo "failed on:$$failed"; exit 1; }

.PHONY: test-statistics
test-statistics: $(DEVELOPMENT)  ## what has to hold over many draws: coverage of intervals, quality of fits, choice of k; minutes
	$(BIN)/pytest tests/statistics

.PHONY: test-faults
test-faults: $(DEVELOPMENT) pgbouncer  ## commands broken at every point with every fault, and more; POINTS=all for all
	SEGJOB_TEST_POINTS=$(POINTS) $(BIN)/pytest $(ON_ALL_CORES) tests/faults

.PHONY: pgbouncer
pgbouncer:
	@PATH="$$PATH:/usr/sbin"; command -v pgbouncer >/dev/null || { \
	    [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && $(DEBIAN_INSTALL) pgbouncer >/dev/null; \
	} || echo "there is no pgbouncer, and it can not be installed here: the tests that need it are left out"

.PHONY: test-load
test-load: $(DEVELOPMENT)  ## runs beside readers and writers; CUSTOMERS, READERS, WRITERS, SECONDS, PAUSE, LIMIT
	SEGJOB_LOAD_CUSTOMERS=$(CUSTOMERS) SEGJOB_LOAD_READERS=$(READERS) SEGJOB_LOAD_WRITERS=$(WRITERS) \
	    SEGJOB_LOAD_SECONDS=$(SECONDS) SEGJOB_LOAD_PAUSE=$(PAUSE) SEGJOB_LOAD_LIMIT=$(LIMIT) $(BIN)/pytest -s tests/load

.PHONY: test-containers
test-containers: $(DEVELOPMENT)  ## the same on SEGJOB_TEST_POSTGRES_IMAGE, through testcontainers
	$(OWN_CHOICE) SEGJOB_TEST_CONTAINERS=1 $(BIN)/pytest -q $(OF_ANY_LENGTH) $(WITH_A_SERVER)

.PHONY: test-image
test-image: $(DEVELOPMENT)  ## the image and the compose file, on a Docker engine; SEGJOB_BASE_IMAGE and DOCKER_ARGS may be set
	docker build --tag segjob:test $(addprefix --build-arg BASE_IMAGE=,$(SEGJOB_BASE_IMAGE)) $(DOCKER_ARGS) .
	SEGJOB_TEST_IMAGE=segjob:test $(BIN)/pytest tests/acceptance/test_image.py

.PHONY: bench
bench: $(BENCHMARKS)  ## segjob beside a single psql, a program by hand and pandas; ROWS, FEATURES, K, KEY, NULLS, TIMES, WITH
	$(BIN)/python -m benchmarks compare --rows $(ROWS) --features $(FEATURES) --n-clusters $(K) --key $(KEY) \
	    --nulls $(NULLS) --times $(TIMES) --with $(WITH) $(BENCH_ARGS)

SUITES := promises growth phases first-query history assign lookup score ranges
.PHONY: $(SUITES:%=bench-%)
bench-promises:  ## what segjob promises: the limit beside the measured, about an hour
bench-growth:  ## how the cost grows with rows, features and k
bench-phases:  ## who is busy in each phase of a run, and what lies idle
bench-first-query:  ## what the planner expects of the first query after publishing
bench-history:  ## what a publication costs more when history is kept
bench-assign:  ## what a call of the model in SQL costs
bench-lookup:  ## what it takes to find one customer in a long history
bench-score:  ## what `segjob score` costs when few customers changed
bench-ranges:  ## what it costs to have the number of segments chosen
$(SUITES:%=bench-%): bench-%: $(BENCHMARKS)
	$(BIN)/python -m benchmarks $* --times $(TIMES) $(BENCH_ARGS)

.PHONY: clean
clean:  ## remove the environment, the demo's data and what tools leave behind
	rm -rf $(VENV) .segjob build dist
	rm -rf .grimp_cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find segjob migrations tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

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

$(BENCHMARKS): pyproject.toml constraints.txt
	$(call install,embedded$(comma)report$(comma)bench)
	touch $(RUNTIME) $@

comma := ,
