# Every target works as the first command on a machine with Debian 12, git and make: `setup` installs what is missing.

TANDEM := .venv/bin/tandem
AREA   ?=
OPS    ?= 1000000
SUBSCRIBERS ?= 1000000
RATES  ?= 10000000
ROWS   ?= 1000000
SEED   ?= 7
PHONES ?= 10000
RATE   ?=
ROUNDS ?= 20
SCENARIO ?=
MINUTES ?= 10
FILES  ?=
WORKERS ?= 2
PROFILE ?=

.DEFAULT_GOAL := help
.PHONY: help setup run up down status demo test prove-money prove-money-mutants prove-calls load-register load soak compile bench bench-money bench-sync bench-import bench-decide bench-edge mutants-core lint scenarios lock

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

# A stack that one of these starts waits a second for a Redis that waits for the CPU. An own value wins.
demo scenarios: export TANDEM_REDIS_TIMEOUT_MS ?= 1000
demo scenarios: export TANDEM_SHED_DELAY_MS ?= 0

demo: setup ## places real calls and shows what each did and cost
	@$(TANDEM) stack exec -- $(TANDEM) demo

scenarios: setup ## runs the SIPp scenarios of one area: make scenarios AREA=auth
	@$(TANDEM) stack exec -- $(TANDEM) scenarios --area "$(AREA)"

test: setup ## every suite, on real parts
	@.venv/bin/python -m pytest -n $(WORKERS)

prove-money: setup ## kills everything that handles money and compares: make prove-money OPS=1000000 SEED=7
	@.venv/bin/python -m tools.prove --ops $(OPS) --seed $(SEED)

prove-money-mutants: setup ## plants bugs in the money functions and in settlement, one by one; all must be found
	@.venv/bin/python -m tests.simulation.mutants

prove-calls: setup ## 200 calls at once on money for 50, over four levels and two nodes: make prove-calls ROUNDS=20
	@.venv/bin/python -m tools.prove_calls --rounds $(ROUNDS)

load-register: setup ## phones refresh while all is killed, none is lost: make load-register PHONES=10000 RATE=100
	@.venv/bin/python -m tools.prove_phones --phones $(PHONES) --rate $(or $(RATE),100)

load: setup ## one load scenario with progress, figures and a plot: make load SCENARIO=digest RATE=20 CALLS=400 HOLD=2
	@$(TANDEM) load "$(SCENARIO)" $(if $(RATE),--rate "$(RATE)") $(if $(CALLS),--calls "$(CALLS)") $(if $(HOLD),--hold "$(HOLD)")

soak: setup ## mixed traffic while the memory of every process is watched; a leak fails it: make soak MINUTES=10
	@$(TANDEM) soak --minutes "$(MINUTES)" $(if $(RATE),--rate "$(RATE)")

compile: setup ## makes machine code of what runs inside Kamailio; nodes take it at their next start or reload
	@.venv/bin/python -m tools.compile

bench: ROUNDS = 5
bench: compile ## the same call through stock Kamailio, SQL, Lua and Tandem: make bench CALLS=2000 ROUNDS=5 PROFILE=1
	@$(TANDEM) bench calls --calls $(or $(CALLS),2000) --rounds $(ROUNDS) $(if $(PROFILE),--profile)

bench-money: setup ## a hold over four levels beside plain Redis commands, and call events into Postgres
	@.venv/bin/python -m tools.bench.money

bench-sync: setup ## Redis beside Postgres at full size: make bench-sync SUBSCRIBERS=1000000 RATES=10000000
	@.venv/bin/python -m tools.bench.sync --subscribers $(SUBSCRIBERS) --rates $(RATES)

bench-import: setup ## a carrier's price list into a tariff, whole and then in part: make bench-import ROWS=1000000
	@.venv/bin/python -m tools.bench.imports --rows $(ROWS)

bench-decide: setup ## one decision over 8 levels, 40 rewrite rules and 30 candidates, as JSON
	@.venv/bin/python -m tests.routing.bench_decide

bench-edge: setup ## what the edge costs per authenticated call: calls of KSR and bytecode instructions, as JSON
	@.venv/bin/python -m tests.routing.bench_edge

mutants-core: setup ## plants faults in the decision core and shows those no test finds: make mutants-core FILES="order hunt"
	@.venv/bin/python -m tests.routing.mutants $(FILES)

lint: setup ## ruff, mypy, import direction, and the checks of the non-Python files
	@tools/lint.sh

lock: setup ## writes requirements.lock anew from pyproject.toml
	@tools/lock.sh
