# Every target works as the first command on a machine with Debian 12, git and make: `setup` installs what is missing.

TANDEM := .venv/bin/tandem
AREA   ?=
OPS    ?= 1000000
SUBSCRIBERS ?= 1000000
RATES  ?= 10000000
SEED   ?= 7
ROUNDS ?= 20
FILES  ?=

.DEFAULT_GOAL := help
.PHONY: help setup run up down status demo test prove-money prove-money-mutants prove-calls bench-money bench-sync bench-decide mutants-core lint scenarios lock

help: ## what each target does
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 28

setup: ## installs what is missing: Debian packages (as root) and .venv; all targets do it first
	@tools/setup.sh

run: setup ## starts the private stack, says how to call, stays in the foreground; Ctrl-C stops all of it
	@$(TANDEM) stack run

up: setup ## the same in the background
	@$(TANDEM) stack up

down: setup ## stops the stack, whichever way it was started
	@$(TANDEM) stack down

status: setup ## shows each process of the stack
	@$(TANDEM) stack status

demo: setup ## places real calls and shows what each did and cost
	@$(TANDEM) stack exec -- $(TANDEM) demo

scenarios: setup ## runs the SIPp scenarios of one area: make scenarios AREA=auth
	@$(TANDEM) stack exec -- $(TANDEM) scenarios --area "$(AREA)"

test: setup ## every suite, on real parts
	@.venv/bin/python -m pytest

prove-money: setup ## kills everything that handles money and compares: make prove-money OPS=1000000 SEED=7
	@.venv/bin/python -m tools.prove --ops $(OPS) --seed $(SEED)

prove-money-mutants: setup ## plants bugs in the money functions and in settlement, one by one; all must be found
	@.venv/bin/python -m tests.simulation.mutants

prove-calls: setup ## 200 calls at once on money for 50, over four levels and two nodes: make prove-calls ROUNDS=20
	@.venv/bin/python -m tools.prove_calls --rounds $(ROUNDS)

bench-money: setup ## a hold over four levels beside plain Redis commands, and call events into Postgres
	@.venv/bin/python -m tools.bench.money

bench-sync: setup ## Redis beside Postgres at full size: make bench-sync SUBSCRIBERS=1000000 RATES=10000000
	@.venv/bin/python -m tools.bench.sync --subscribers $(SUBSCRIBERS) --rates $(RATES)

bench-decide: setup ## one decision over 8 levels, 40 rewrite rules and 30 candidates, as JSON
	@.venv/bin/python -m tests.routing.bench_decide

mutants-core: setup ## plants faults in the decision core and shows those no test finds: make mutants-core FILES="order hunt"
	@.venv/bin/python -m tests.routing.mutants $(FILES)

lint: setup ## ruff, mypy, import direction, and the checks of the non-Python files
	@tools/lint.sh

lock: setup ## writes requirements.lock anew from pyproject.toml
	@tools/lock.sh
