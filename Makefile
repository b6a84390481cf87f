# SPDX-License-Identifier: GPL-2.0-or-later
# Everything sets itself up: Debian packages when one is missing (as root), Python in .venv/.

PYTHON := .venv/bin/python
SCENARIO ?= freeze
SEEDS ?= 20000
RUNS ?= 20
# Tests wait more than they compute: three at a time keep two cores half busy.
JOBS ?= 3
MINUTES ?= 0
SCENARIOS ?= smoke
HOURS ?= 1
# Tests start a thousand processes of this code, so it is compiled once, whatever the user prefers.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test sim bench hil hil-soak hil-shell hil-compare hil-rehearsal recordings deb deb-try check coverage database-proof postgres-try drill-deaths clean packages servers

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: packages .venv/ready ## a pair fails over on this machine, live (root); SCENARIO=help lists more
	@$(PYTHON) -m hil.demo $(SCENARIO)

test: packages .venv/ready ## all tests, whole agents in network namespaces among them (root)
	$(PYTHON) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

sim: .venv/ready ## a long simulation: SEEDS=n histories
	SEEDS=$(SEEDS) JOBS=$$(nproc) $(PYTHON) -m tests.sim

bench: packages .venv/ready ## measure failovers (RUNS=n), an idle node, MINUTES=n under load (root)
	@$(PYTHON) -m hil.bench --runs $(RUNS) --load $(MINUTES)

hil: servers .venv/ready ## two booted servers under QEMU die in every way; SCENARIOS=all for all of it (root)
	$(PYTHON) -m pytest hil $(if $(filter smoke,$(SCENARIOS)),-m smoke,$(if $(filter-out all,$(SCENARIOS)),-k "$(SCENARIOS)"))

hil-soak: servers .venv/ready ## pair after pair meets two mishaps drawn at random, for HOURS=n (SEED=n: only that one)
	@$(PYTHON) -m hil.qemu.soak --hours $(HOURS) $(if $(SEED),--seed $(SEED))

hil-shell: servers .venv/ready ## the same pair, running, and a shell beside it (root)
	@$(PYTHON) -m hil.qemu.shell

hil-compare: servers .venv/ready ## haagent, Pacemaker and keepalived die the same deaths; COMPARE="--runs 1 --only keepalived" (root)
	@$(PYTHON) -m hil.compare $(COMPARE)

hil-rehearsal: servers .venv/ready ## the smoke set as on a real pair (docs/lab.md), with the virtual one as the rack (root)
	@$(PYTHON) -m hil.qemu.rehearsal

recordings: packages .venv/ready ## real pairs play what tests/recordings replays; NAMES="freeze isolated": only those (root)
	@$(PYTHON) -m hil.recordings $(NAMES)
	$(PYTHON) -m pytest -q tests/recordings --update

deb: packages .venv/ready ## the Debian package, in dist/ (ARCH=arm64, VERSION=n)
	@$(PYTHON) packaging/build_deb.py dist

deb-try: packages .venv/ready ## the package on another Debian: RELEASE=trixie, ARCH=arm64 under QEMU; minutes (root)
	@packaging/prepare try
	@$(PYTHON) -m hil.try_deb $(or $(RELEASE),trixie) $(or $(ARCH),$(shell dpkg --print-architecture))

check: .venv/ready ## linters, types and the tests that take seconds and need no root
	$(PYTHON) -m pytest -m "not net and not sim and not deb"

database-proof: packages .venv/ready ## 50 failovers of a real PostgreSQL under a writing client (root); COUNT=n SEED=n ASYNC=1 VERSION=n
	@$(if $(VERSION),$(PYTHON) -m hil.try_postgres $(VERSION)) $(PYTHON) -m hil.database_proof $(or $(COUNT),50) $(or $(SEED),1) $(if $(ASYNC),async)

postgres-try: packages .venv/ready ## the database's tests with another PostgreSQL: VERSION=13, 14, 16 or 17; eight minutes (root)
	@packaging/prepare postgres
	@$(PYTHON) -m hil.try_postgres $(VERSION)

drill-deaths: packages .venv/ready ## a drill, its agent, or both are killed at every step of every kind (root)
	DEATHS=all $(PYTHON) -m pytest -q tests/net/test_drill_deaths.py

coverage: .venv/ready ## every branch of the core is walked by its own tests
	$(PYTHON) -m coverage run -m pytest -q tests/unit/core \
		--deselect tests/unit/core/test_small_scope.py
	$(PYTHON) -m coverage report --fail-under=100

clean: ## forget .venv/ and all caches
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Quick when nothing is missing, so it is looked at every time.
packages:
	@packaging/prepare packages

servers:
	@packaging/prepare hil

.venv/ready: pyproject.toml packaging/prepare
	@packaging/prepare venv
	@touch $@
