.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

help: ## List the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: .venv/installed ## Set up .venv from the locked versions

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "daypart needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/bench .venv/mutants: .venv/%: .venv/installed requirements-%.lock
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement requirements-$*.lock
	$(BIN)/pip check
	touch $@

demo: install ## Simulate a chain, forecast it, score it and write the report
	$(BIN)/daypart demo

check: install ## Lint, types, import contracts and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

test: check ## Set up and pass every check

mutants: .venv/mutants ## Put 200 small faults into the core, one by one, and list those that no test notices (40 minutes)
	$(BIN)/python -m infra.bench.upkeep.mutation_score .daypart/mutants

bench: .venv/bench ## Measure the work of 2,000 stores beside the alternatives (takes half an hour)
	$(BIN)/python -m infra.bench.scale .daypart/bench

bench-accuracy: .venv/bench ## Backtest the real data sets beside two peers (DAYPART_REAL_DATA, by default beside)
	$(BIN)/python -m infra.bench.accuracy $${DAYPART_REAL_DATA:-../shared/data}

bench-ablation: install ## Say what each family of features and each member earns
	$(BIN)/python -m infra.bench.accuracy.ablation $${DAYPART_REAL_DATA:-../shared/data}

bench-loop: install ## Measure decay, the gate, tiers and policies on simulated chains of known truth (takes hours)
	$(BIN)/python -m infra.bench.loop.drift_detection
	$(BIN)/python -m infra.bench.loop.gate_errors
	$(BIN)/python -m infra.bench.loop.unit_portfolio .daypart/bench
	$(BIN)/python -m infra.bench.loop.policy_replay $${DAYPART_REAL_DATA:-../shared/data} --out .daypart/bench

soak: install ## Live 400 nights of a small chain with weekly maintenance: time, files and bytes by month (takes half an hour)
	$(BIN)/python -m infra.bench.upkeep.soak .daypart/soak

LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
	--no-emit-index-url --no-emit-find-links --no-header

hooks: install ## Check format, lint, types and imports before each commit
	git config core.hooksPath infra/hooks

lock: install ## Choose the newest versions that install together, with the hashes of their files
	$(LOCK) pyproject.toml --extra dev -o requirements.lock
	echo mlforecast | $(LOCK) - --no-deps --constraint requirements.lock -o requirements-bench.lock
	echo cosmic-ray | $(LOCK) - --constraint requirements.lock -o requirements-mutants.lock

faults: install ## Kill, fill up, race, edit and misfeed a small home hundreds of times, and print one table
	$(BIN)/python -m tests.faults

faults-tests: install ## Repeat the slow tests of faults with a thousand examples (takes minutes)
	HYPOTHESIS_PROFILE=faults $(BIN)/pytest -m faults

clean: ## Remove the environment and the demo's home
	rm -rf .venv .daypart build *.egg-info

.PHONY: help install demo check test bench bench-accuracy bench-ablation bench-loop soak mutants lock faults faults-tests clean
