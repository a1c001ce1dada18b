"""`tandem top` in a terminal, beside a real node: what it shows, its keys, its end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

import pytest

from tests.edge import SOON_S, Edge, running_edge
from tests.fakes.world import ABROAD
from tests.kamailio_node import ROOT
from tests.sip import dial
from tests.terminal import Terminal, in_terminal
from tests.wait import until
from tools.wait import DeadlineError

TANDEM: Final = str(ROOT / ".venv" / "bin" / "tandem")
LEAVES: Final = b"\x1b[?1049l"
"""What a program writes that gives the terminal its old screen back."""
NOWHERE: Final = "/nonexistent/ctl.sock"
START_S: Final = 30.0


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node for all tests that leave it running."""
    with running_edge() as running:
        yield running


def top(*ctls: str, width: int = 100, height: int = 30) -> AbstractContextManager[Terminal]:
    words = [word for ctl in ctls for word in ("--ctl", ctl)]
    return in_terminal([TANDEM, "top", "--every", "0.3", *words], {}, width, height)


def sees(terminal: Terminal, *words: str, within_s: float = SOON_S) -> None:
    """Wait until a line of the screen has these words in their order, with blanks between them."""

    def is_there() -> bool:
        lines = (" ".join(line.split()) for line in terminal.lines)
        return any(" ".join(words) in line for line in lines)

    try:
        until(is_there, within_s, f"{words} on the screen")
    except DeadlineError as error:
        raise AssertionError(f"{error}, which is:\n{terminal.text}") from None


def test_a_call_is_on_the_page_while_it_goes_on(edge: Edge) -> None:
    with top(str(edge.node.ctl)) as terminal, edge.phone() as phone:
        sees(terminal, "t1 up 0 0", within_s=START_S)
        assert terminal.lines[0].startswith("tandem top ")
        call = dial(phone, f"{ABROAD}@a.example")
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
        sees(terminal, ABROAD, "alice@a.example")
        sees(terminal, "t1 up 1 0")
        edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
        assert call.final().status == 486
        sees(terminal, "t1 up 0 0")
        sees(terminal, "calls: none")


def test_carriers_and_refusals_are_on_the_page(edge: Edge) -> None:
    with top(str(edge.node.ctl), width=150) as terminal, edge.phone() as phone:
        assert dial(phone, "999999999999@a.example").final().status == 403
        call = dial(phone, f"{ABROAD}@a.example")
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
        assert call.final().status == 486
        sees(terminal, "no_rate", within_s=START_S)
        sees(terminal, "486:")


@pytest.mark.parametrize("key", ["q", "Q", "\x03"])
def test_a_key_ends_it_and_the_terminal_is_as_before(edge: Edge, key: str) -> None:
    with top(str(edge.node.ctl)) as terminal:
        sees(terminal, "t1 up", within_s=START_S)
        assert not terminal.echoes
        terminal.press(key)
        assert terminal.wait() == 0
        assert LEAVES in terminal.written
        assert terminal.echoes
        assert b"Traceback" not in terminal.written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_and_the_terminal_is_as_before(edge: Edge, number: signal.Signals) -> None:
    with top(str(edge.node.ctl)) as terminal:
        sees(terminal, "t1 up", within_s=START_S)
        terminal.kill(number)
        assert terminal.wait() == 0
        assert LEAVES in terminal.written


def test_the_page_follows_the_window(edge: Edge) -> None:
    with top(str(edge.node.ctl)) as terminal, edge.phone() as phone:
        call = dial(phone, f"{ABROAD}@a.example")
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
        sees(terminal, ABROAD, "alice@a.example", within_s=START_S)
        terminal.resize(60, 40)
        try:
            until(lambda: "alice@a.example" not in terminal.text, SOON_S, "a page without sources")
        except DeadlineError as error:
            raise AssertionError(f"{error}, which is:\n{terminal.text}") from None
        sees(terminal, ABROAD)
        assert terminal.lines[0].startswith("tandem top ")
        terminal.resize(140, 40)
        sees(terminal, ABROAD, "alice@a.example")
        edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
        assert call.final().status == 486


def test_a_node_that_is_nowhere_is_gone_and_the_other_is_shown(edge: Edge) -> None:
    with top(NOWHERE, str(edge.node.ctl)) as terminal:
        sees(terminal, "t1 up", within_s=START_S)
        sees(terminal, NOWHERE[:20])
        sees(terminal, f"ALARM {NOWHERE} does not answer")


def test_a_node_that_goes_is_shown_as_gone_by_its_name() -> None:
    with running_edge() as edge, top(str(edge.node.ctl)) as terminal:
        sees(terminal, "t1 up", within_s=START_S)
        edge.node.process.terminate()
        sees(terminal, "t1 gone", within_s=START_S)
        sees(terminal, "ALARM t1 does not answer")
        terminal.press("q")
        assert terminal.wait() == 0


def test_without_a_terminal_one_page_is_printed(edge: Edge) -> None:
    done = subprocess.run(
        [TANDEM, "top"],
        env={**os.environ, "TANDEM_CTL": f"unix:{edge.node.ctl}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith("tandem top ")
    assert "t1" in done.stdout
    assert "\x1b" not in done.stdout


def test_all_nodes_are_asked_through_redis(edge: Edge) -> None:
    env = {**os.environ, "REDIS_URL": edge.redis.url}
    words = [TANDEM, "top", "--all", "--once"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert "t1   up" in done.stdout
    done = subprocess.run([*words, "--ctl", NOWHERE], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, "--ctl and --all: one of them\n")


def test_without_a_node_it_says_what_is_missing() -> None:
    env = {name: value for name, value in os.environ.items() if name != "TANDEM_CTL"}
    done = subprocess.run([TANDEM, "top", "--once"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "TANDEM_CTL" in done.stderr
