"""Sentences of the private stack and of scenarios about a machine, a user or a file that is not as it should be."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from tests.unit.test_scenario import EXPECT, scenario
from tools.errors import OperatorError
from tools.scenario import sipp
from tools.stack import checks, leftovers, plan, postgres, process, sentinels, stack, state
from tools.stack.layout import Address, Layout, parse_address
from tools.stack.process import Identity

SOMEBODY: Final = Identity(4_194_000, 1, "boot")


def told(refusal: Callable[[], object]) -> str:
    """Return the sentence of a refusal."""
    with pytest.raises(OperatorError) as caught:
        refusal()
    return str(caught.value)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return the place of a stack that was never started."""
    return Layout(tmp_path, Address("127.0.0.1", 5060))


def _not_allowed(*_: object, **__: object) -> Any:
    raise PermissionError


def test_an_address_that_is_none() -> None:
    assert told(lambda: parse_address("here")) == (
        "TANDEM_LISTEN is 'here': set it to address:port, for example 127.0.0.1:5060"
    )
    assert told(lambda: Layout.from_environment({"TANDEM_LISTEN6": "127.0.0.1:5060"})) == (
        "TANDEM_LISTEN6 is '127.0.0.1:5060': set it to [address]:port of IPv6, or to off"
    )


def test_a_program_that_is_missing_or_of_another_version(tmp_path: Path) -> None:
    assert told(lambda: checks.program("no-such-server", {})) == (
        "no-such-server is not installed: run `make setup`, as root"
    )
    fake = tmp_path / "kamailio"
    fake.write_text("#!/bin/sh\necho version: kamailio 5.7.1\n")
    fake.chmod(0o755)
    assert told(lambda: checks.versions({"PATH": str(tmp_path)})) == (
        f"{fake} is version 5.7.1 and Tandem needs Kamailio 5.6: put Debian 12's first on PATH,"
        " or install it with `make setup`"
    )


def test_a_disk_without_room(layout: Layout) -> None:
    sentence = told(lambda: checks.disk(layout, lambda _: 1_000_000))
    assert sentence.startswith(f"the disk of {layout.run_dir} has 1 MB free and the stack needs ")
    assert sentence.endswith(" MB: free some space, or set RUN_DIR to a directory on another disk")


def test_processes_and_files_of_another_user(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "send", _not_allowed)
    assert told(lambda: leftovers._signal_all({SOMEBODY}, signal.SIGTERM)) == (
        f"process {SOMEBODY.pid} of an earlier stack belongs to another user: stop it as that user or as root"
    )
    monkeypatch.setattr(process, "send", _not_allowed)
    assert told(lambda: stack._ask_to_stop(SOMEBODY)) == (
        f"the stack (pid {SOMEBODY.pid}) belongs to another user: stop it as that user"
    )
    (layout.run_dir / "file").touch()
    monkeypatch.setattr(Path, "read_text", _not_allowed)
    for read in (state.read, state.secret):
        assert told(lambda read=read: read(layout.run_dir / "file")) == (  # type: ignore[misc]
            f"the stack in {layout.run_dir} is another user's: ask as that user or as root"
        )


def test_a_stack_that_is_not_up(layout: Layout) -> None:
    made = stack.Stack(layout)
    assert told(made.env) == f"no stack is up in {layout.run_dir}: `make up` starts one"
    assert told(lambda: made.pid("redis")) == f"redis does not run in {layout.run_dir}; what runs: nothing"


def test_parts_and_stores_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(lambda: plan._only((), frozenset({"radio"}))) == "no such part: radio; the parts are "
    sentence = told(lambda: plan._load_demo_world("postgresql:///x?host=/nowhere"))
    assert sentence.startswith("the demo world does not load: connection")
    monkeypatch.setattr(plan, "_take_functions", lambda _: False)
    monkeypatch.setattr(plan, "REPLICA_S", 0.01)
    assert told(lambda: plan._load_functions("redis://127.0.0.1:1/0")).startswith("Redis does not take our functions: ")


def test_a_user_for_postgres_who_is_unknown_or_kept_out(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: object) -> Any:
        raise KeyError

    user: Any = SimpleNamespace(pw_name="postgres", pw_uid=1, pw_gid=1)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    assert told(lambda: postgres._as_user(layout, user)) == (
        f"user postgres, as whom Postgres runs, cannot reach {layout.run_dir}:"
        " set RUN_DIR to a directory that every user can enter"
    )
    for name in ("getpwnam", "getpwuid"):
        monkeypatch.setattr(pwd, name, nobody)
    who = f"user id {os.geteuid()}" if os.geteuid() else "the user `postgres`"
    assert told(lambda: postgres._server_user(layout.pg_data)) == (
        f"Postgres would run as {who}, which this machine does not know: run `make setup`"
    )


def test_a_master_without_a_place_in_the_layout(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentinels, "_all_sentinels", lambda _: [None])
    monkeypatch.setattr(sentinels, "_decision", lambda _: (1, 2))
    assert told(lambda: sentinels.master(layout)) == (
        f"a replica was made the master before the stack in {layout.run_dir} stopped: start it with TANDEM_REPLICAS=2"
    )


def test_a_scenario_that_cannot_be_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scenario(tmp_path, EXPECT.replace("uas-answer.xml", "no-such.xml"))
    callee, caller = made.parties
    no_caller = EXPECT.replace('role = "caller"', 'role = "phone"')
    assert told(lambda: scenario(tmp_path / "b", no_caller)).endswith("expect.toml: no party has role = caller")
    assert told(lambda: sipp.Proxy("127.0.0.1:5060").beside("::1")) == (
        "::1: the stack does not listen on IPv6, see TANDEM_LISTEN6"
    )
    assert told(lambda: sipp.start(made, callee, sipp.Proxy("127.0.0.1:5060"), tmp_path)) == (
        "calls/01.a-call: no-such.xml is neither in its directory nor in common/"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    assert told(lambda: sipp.run(["sipp"], tmp_path / "log")) == (
        "sipp is not installed: run `make run` once, or install the Debian package sip-tester"
    )
    refused: Any = SimpleNamespace(wait=lambda _: 1)
    monkeypatch.setattr(sipp, "run", lambda *_: refused)
    sentence = told(lambda: sipp.register(made, [caller], sipp.Proxy("127.0.0.1:5060"), tmp_path))
    assert sentence == f"alice could not register as @: see {tmp_path / 'alice.register.log'}"
