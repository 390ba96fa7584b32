# The menu of Chốt. Every target sets up what it needs: .venv with the pinned packages of requirements.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKSHOP := $(VENV)/.workshop
WORKERS ?= 2
# A PYTHONPATH of the user's could put other modules before ours.
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help demo test torture soak weeks lint bench hardware clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Chốt needs Python 3.10 or newer: make PYTHON=python3.11"; exit 1; }
	@echo "Setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(WORKSHOP): $(READY) requirements-hardware.txt
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make hardware needs Python 3.11 or newer: make clean, then make PYTHON=python3.11 hardware"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-hardware.txt
	@touch $@

demo: $(READY) ## two doors, one minute, a power cut and an outage; ONCE=1 ends after it, else the page stays up
	@mkdir -p build
	@$(BIN)/chot sim scenarios/demo.toml --json build/demo.json $(if $(ONCE),,--serve)

test: $(READY) ## every test: device tests inside MicroPython, host tools, scenarios
	@$(BIN)/python -m pytest -n $(WORKERS)

torture: $(READY) ## every power cut of the journal, both policies, two seeds: 10 to 20 minutes
	@$(BIN)/python -m tests.device

soak: $(READY) ## a million scans over eight simulated weeks, about an hour; DAYS=2: its first two days; SEED=7: other chances
	@mkdir -p build
	@$(BIN)/chot sim scenarios/soak.toml --json build/soak.json $(if $(DAYS),--days $(DAYS)) $(if $(SEED),--seed $(SEED))

weeks: $(READY) ## a week with no network, a fortnight with 4G too, sixty days of daily outages: two hours; DAYS=2: two days of these
	@mkdir -p build
	@$(BIN)/chot sim scenarios/week-offline.toml --json build/week-offline.json
	@$(BIN)/chot sim scenarios/fortnight.toml --json build/fortnight.json $(if $(DAYS),--days $(DAYS))
	@$(BIN)/chot sim scenarios/sixty-days.toml --json build/sixty-days.json $(if $(DAYS),--days $(DAYS))

lint: $(READY) ## style, types of the host tools, and the firmware against the ESP32's stubs and compiler
	@$(BIN)/ruff check firmware host_tools tests
	@$(BIN)/mypy host_tools
	@$(BIN)/python -m host_tools.build.check firmware

bench: $(READY) ## each figure beside its bar; also build/bench.json
	@$(BIN)/python -m host_tools.bench

hardware: $(WORKSHOP) ## wiring, parts lists, power budget, enclosure and mounting drawing of every board, made again and checked
	@$(BIN)/python -m host_tools.hardware
	@$(BIN)/python -m pytest -n0 tests/hardware

clean: ## forget the environment and everything built
	rm -rf $(VENV) build
