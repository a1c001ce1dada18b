# Every target works as the first command on a machine with Debian 12, git and make: `setup` installs what is missing.

TANDEM := .venv/bin/tandem
AREA   ?=

.DEFAULT_GOAL := help
.PHONY: help setup run up down status demo test lint scenarios lock

help: ## what each target does
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

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

lint: setup ## ruff, mypy, import direction, and the checks of the non-Python files
	@tools/lint.sh

lock: setup ## writes requirements.lock anew from pyproject.toml
	@tools/lock.sh
