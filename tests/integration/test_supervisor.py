"""The supervisor with shells as its parts: what dies starts again, what is stopped ends, nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.toy_stack import STOP_S
from tests.wait import until
from tools.stack import leftovers, process
from tools.stack.layout import PROJECT, Address, Layout
from tools.stack.process import identity
from tools.stack.stack import Stack

DEADLINE_S = 10.0
STEADY = "exec sleep 1000"
WITH_CHILD = "sleep 1001 & echo $! > $READY; exec sleep 1000"
DEAF = "trap '' TERM INT; touch $READY; while :; do sleep 0.1; done"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setattr(leftovers, "POLITE_S", STOP_S)
    return Stack(Layout(tmp_path / "run", Address("127.0.0.1", 5060)))


@pytest.fixture
def start(stack: Stack) -> Iterator[Start]:
    """Start parts given as name=command; wait until all serve, unless `wait` is False."""
    started: list[subprocess.Popen[str]] = []

    def go(*, wait: bool = True, **parts: str) -> subprocess.Popen[str]:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "tests.toy_stack"],
            cwd=PROJECT,
            env={**os.environ, "RUN_DIR": str(stack.layout.run_dir), "TOY_PARTS": json.dumps(parts)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(supervisor)
        if wait:
            until(lambda: supervisor.poll() is not None or stack.running(), DEADLINE_S, "the toy stack to start")
            assert supervisor.returncode is None
            stack.wait_ready(DEADLINE_S)
        return supervisor

    yield go
    for supervisor in started:
        supervisor.kill()
        supervisor.wait()
        if supervisor.stdout:
            supervisor.stdout.close()
    if stack.layout.run_dir.exists():
        stack.stop()


def test_a_part_that_dies_starts_again_and_its_orphans_do_not_stay(stack: Stack, start: Start) -> None:
    start(tree=WITH_CHILD)
    before = stack.pid("tree")
    orphan = int((stack.layout.run_dir / "tree.ready").read_text())
    stack.kill("tree")
    until(lambda: _restarts(stack, "tree") == 1, DEADLINE_S, "the part to start again")
    stack.wait_ready(DEADLINE_S)
    assert stack.pid("tree") != before
    assert identity(orphan) is None


def test_a_part_that_keeps_dying_starts_again_later_each_time(stack: Stack, start: Start) -> None:
    supervisor = start(steady=STEADY, flaky="touch $READY; test -e $READY.again || exec sleep 1000")
    (stack.layout.run_dir / "flaky.ready.again").touch()
    stack.kill("flaky")
    until(lambda: _restarts(stack, "flaky") >= 3, DEADLINE_S, "three restarts")
    supervisor.terminate()
    output, _ = supervisor.communicate(timeout=DEADLINE_S)
    waits = [float(line.split("again in ")[1].split()[0]) for line in output.splitlines() if "again in " in line]
    assert waits[:3] == [0.2, 0.4, 0.8]


def test_a_stop_ends_every_process_also_those_that_parts_started(stack: Stack, start: Start) -> None:
    supervisor = start(tree=WITH_CHILD, steady=STEADY)
    pids = [stack.pid("tree"), stack.pid("steady"), int((stack.layout.run_dir / "tree.ready").read_text())]
    supervisor.send_signal(signal.SIGINT)
    supervisor.communicate(timeout=DEADLINE_S)
    assert supervisor.returncode == 0
    assert [identity(pid) for pid in pids] == [None, None, None]
    assert stack.state() is None


def test_a_part_that_does_not_heed_a_stop_is_killed(stack: Stack, start: Start) -> None:
    supervisor = start(deaf=DEAF)
    pid = stack.pid("deaf")
    supervisor.terminate()
    output, _ = supervisor.communicate(timeout=DEADLINE_S)
    assert "deaf did not stop within 1 s and is killed" in output
    assert identity(pid) is None


def test_killing_the_supervisor_takes_its_parts_with_it(stack: Stack, start: Start) -> None:
    supervisor = start(steady=STEADY)
    who = identity(stack.pid("steady"))
    assert who
    supervisor.kill()
    until(lambda: not process.alive(who), DEADLINE_S, "the part to follow its supervisor")


def test_a_start_after_a_kill_ends_what_was_left_and_nothing_else(stack: Stack, start: Start) -> None:
    supervisor = start(deaf=DEAF)
    left = identity(stack.pid("deaf"))
    assert left
    # Somebody's program that knows of our run directory, as after `. .run/env`, is not ours.
    other = subprocess.Popen(["sleep", "1000"], env={**os.environ, "RUN_DIR": str(stack.layout.run_dir)})
    try:
        supervisor.kill()
        supervisor.communicate()
        assert process.alive(left)
        start(wait=False, steady=STEADY)
        until(stack.running, 3 * DEADLINE_S, "the stack to be up again")
        assert not process.alive(left)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_down_ends_what_a_killed_supervisor_left(stack: Stack, start: Start) -> None:
    supervisor = start(deaf=DEAF)
    left = identity(stack.pid("deaf"))
    assert left
    stack.layout.state_file.unlink()  # known by the mark in its environment alone
    supervisor.kill()
    supervisor.communicate()
    assert stack.stop()
    assert not process.alive(left)
    assert not stack.stop()


def test_a_second_start_in_the_same_directory_is_refused_and_harms_nothing(stack: Stack, start: Start) -> None:
    supervisor = start(steady=STEADY)
    before = stack.pid("steady")
    second = start(wait=False, steady=STEADY)
    output, _ = second.communicate(timeout=DEADLINE_S)
    assert second.returncode == 1
    assert f"a stack already runs in {stack.layout.run_dir} (pid {supervisor.pid})" in output
    assert stack.pid("steady") == before
    assert stack.running()


def test_a_start_that_fails_shows_the_last_words_and_leaves_nothing(stack: Stack, start: Start) -> None:
    supervisor = start(wait=False, tree=WITH_CHILD, broken="echo no space left; exit 3 # never $READY")
    output, _ = supervisor.communicate(timeout=DEADLINE_S)
    assert supervisor.returncode == 1
    assert "broken ended with status 3 while the stack started; its last words:\nno space left" in output
    assert identity(int((stack.layout.run_dir / "tree.ready").read_text())) is None
    assert stack.state() is None


def test_a_part_that_never_serves_fails_the_start(stack: Stack, start: Start) -> None:
    supervisor = start(wait=False, slow="exec sleep 1000 # $READY")
    output, _ = supervisor.communicate(timeout=DEADLINE_S)
    assert supervisor.returncode == 1
    assert f"slow was not ready after 5 s: see {stack.layout.log_dir}/slow.log" in output


def test_a_stack_whose_directory_was_removed_ends(stack: Stack, start: Start) -> None:
    supervisor = start(steady=STEADY)
    pid = stack.pid("steady")
    shutil.rmtree(stack.layout.run_dir)
    output, _ = supervisor.communicate(timeout=DEADLINE_S)
    assert "was removed" in output
    assert identity(pid) is None


def test_restart_gives_a_part_a_new_process(stack: Stack, start: Start) -> None:
    start(steady=STEADY, tree=WITH_CHILD)
    before, beside = stack.pid("steady"), stack.pid("tree")
    stack.restart("steady", DEADLINE_S)
    assert stack.pid("steady") != before
    assert stack.pid("tree") == beside


def _restarts(stack: Stack, name: str) -> int:
    found = stack.state()
    row = found.process(name) if found else None
    return row.restarts if row else -1


def test_a_part_that_was_taken_away_stays_down_until_it_is_brought_back(stack: Stack, start: Start) -> None:
    """The others are looked after all the while, and a new start knows nothing of it."""
    start(one=STEADY, two=STEADY)
    gone = stack.pid("one")
    stack.take_away("one")
    until(lambda: identity(gone) is None, DEADLINE_S, "the end of the part")
    first = stack.pid("two")
    stack.kill("two")
    until(lambda: _pid(stack, "two") not in (0, first), DEADLINE_S, "the other part to start again")
    assert _pid(stack, "one") == 0
    stack.bring_back("one")
    stack.wait_ready(DEADLINE_S)
    assert _pid(stack, "one") not in (0, gone)


def _pid(stack: Stack, name: str) -> int:
    """Return a part's process, 0 while it has none."""
    found = stack.state()
    row = found.process(name) if found else None
    return row.who.pid if row and row.who else 0
