"""Every line of the hunting tables: what is tried after each answer, and what the caller hears in the end."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import pytest

from kemi.core.decide import decide
from kemi.core.hunt import Try, after_failure
from kemi.core.outcome import Route, Target
from kemi.records import Attempt
from tests.routing.asking import facts, records_of, request
from tests.routing.tables import Line, lines

LINES = tuple(lines("hunts"))
LINES_MIN = 80

_ANSWER: Final = re.compile(r"(\d{3})(?: ([a-z]+))?(?: (.*))?")


class Answer(NamedTuple):
    """What a carrier said. why, contact: "" = nothing."""

    status: int
    why: str
    contact: str


@pytest.mark.parametrize("line", [pytest.param(line, id=line.place) for line in LINES])
def test_a_hunt_goes_as_the_table_says(line: Line) -> None:
    """Each line lets carriers answer in turn."""
    records = records_of(line)
    route = decide(request(line, records), facts(line, records))
    assert isinstance(route, Route), f"{line.place}: {line.text}: {route}"
    tried, told = hunt(route.targets, answers(line.cell(3)))
    assert (told, " ".join(tried)) == (line.cell(4), line.cell(5)), f"{line.place} ({line.title}): {line.text}"


def test_the_hunts_are_whole() -> None:
    """No line is lost on the way from the text."""
    assert len(LINES) >= LINES_MIN


def hunt(plan: tuple[Target, ...], given: list[Answer]) -> tuple[list[str], str]:
    """Return what was tried, in turn, and what the caller hears: "trying" when the answers are at an end."""
    targets, current, tried = list(plan), 0, [plan[0].pinned.name]
    attempts: list[Attempt] = []
    for answer in given:
        attempts.append(Attempt(targets[current].pinned.server_id, answer.status, why=answer.why))
        step = after_failure(tuple(targets), current, tuple(attempts), answer.contact)
        if not isinstance(step, Try):
            return tried, f"{step.status} {step.phrase}"
        if step.place == current:
            attempts[-1] = attempts[-1]._replace(why="redirect")
            targets[current] = step.target
            tried.append(_redirected(step.target))
        else:
            tried.append(step.target.pinned.name)
        current = step.place
    return tried, "trying"


def answers(text: str) -> list[Answer]:
    """Return the answers of a cell: `503, 480 ring, 302 <sip:…>`."""
    found: list[Answer] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _ANSWER.fullmatch(part)
        assert match, part
        found.append(Answer(int(match[1]), match[2] or "", match[3] or ""))
    return found


def _redirected(target: Target) -> str:
    """Return `server=user@host:port[/transport]`; the R-URI and the next hop have to name the same place."""
    hop, _, transport = target.next_hop.partition(";transport=")
    uri = target.ruri.removeprefix("sip:")
    assert uri.rpartition("@")[2] == hop.removeprefix("sip:")
    return f"{target.pinned.name}={uri}" + (f"/{transport}" if transport != "udp" else "")
