"""The README keeps its word: every command in it works, on a stack of the tests."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from typing import Final

from tests.fix_stack import free_address, short_directory
from tools.stack import plan
from tools.stack.layout import PROJECT
from tools.stack.process import marked
from tools.stack.stack import Stack

BY_CI: Final = ("make lint", "make test")
STARTING: Final = ("make run", "make up", "make down")
FRESH: Final = ".venv/bin/tandem lint-routes"
"""It finds fault with the worlds of scenarios, some of which are there for their faults."""


def commands() -> list[str]:
    """Return every command in the shell blocks of the README, in order."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_ci_runs_what_only_ci_can() -> None:
    """Lint and the whole test run are in .ci/run; a test of the tests would never end."""
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(command in script for command in BY_CI)
    assert set(BY_CI) | set(STARTING) < set(commands())


def test_the_commands_of_the_readme_work(stack: Stack) -> None:
    """Each, one after the other as they stand there, exits 0 and says something, with the stack up."""
    values = plan.environment(stack.layout)
    env = {**os.environ, "RUN_DIR": values["RUN_DIR"], "TANDEM_LISTEN": str(stack.layout.listen)}
    faults = []
    for command in [line for line in commands() if line not in (*BY_CI, *STARTING, FRESH)]:
        done = subprocess.run(
            shlex.split(command), cwd=PROJECT, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode or not done.stdout.strip():
            faults.append(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    assert faults == []


def test_up_and_down_as_the_readme_says() -> None:
    """`make up` leaves a stack behind, with routes that have no fault, and `make down` none."""
    with short_directory() as folder:
        env = {**os.environ, "RUN_DIR": str(folder / "run"), "TANDEM_LISTEN": str(free_address())}
        subprocess.run(["make", "up"], cwd=PROJECT, env=env, timeout=120, check=True)
        assert (folder / "run" / "env").exists()
        subprocess.run(shlex.split(FRESH), cwd=PROJECT, env=env, timeout=60, check=True)
        subprocess.run(["make", "down"], cwd=PROJECT, env=env, timeout=120, check=True)
        assert not (folder / "run" / "env").exists()


def test_run_says_how_to_call_and_ends_with_ctrl_c() -> None:
    """`make run` stays in the foreground; Ctrl-C, which reaches the whole process group, ends all of it."""
    with short_directory() as folder:
        address = free_address()
        env = {**os.environ, "RUN_DIR": str(folder / "run"), "TANDEM_LISTEN": str(address)}
        running = subprocess.Popen(
            ["make", "run"], cwd=PROJECT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert running.stdout is not None
        said = _until_it_says(running, "alice")
        os.killpg(running.pid, signal.SIGINT)
        said += running.communicate(timeout=60)[0]
        assert f"SIP listens on {address}" in said
        assert not marked(folder / "run"), said


def _until_it_says(running: subprocess.Popen[str], text: str) -> str:
    said = ""
    assert running.stdout is not None
    for line in running.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it ended without saying {text!r}: {said}")
