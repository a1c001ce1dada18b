"""What follows a stage that has ended, by how it ended."""

from __future__ import annotations

import pytest

from kemi.core.hunt import Next, Told, after_failure, after_stage, begin
from kemi.core.outcome import Stage, Target
from kemi.records import Attempt, PinnedTarget

BUSY, DECLINED, UNAVAILABLE = Told(486, "Busy Here"), Told(603, "Decline"), Told(480, "Temporarily Unavailable")
NO_CARRIER = Told(503, "Service Unavailable")
TWO_PHONES = Stage(0, 2, together=True, ring_s=20, busy=1, no_answer=2, unreachable=3)
STAGES = (TWO_PHONES, Stage(2, 1, together=True, ring_s=20), Stage(3, 1, ring_s=20), Stage(4, 1, ring_s=20))


def phone(name: str) -> Target:
    """Return the attempt at a phone of ours."""
    return Target("local", f"sip:{name}", "", "", "", (), (), PinnedTarget(0, 0, name), name)


def server(name: str, server_id: int = 0) -> Target:
    """Return the attempt at a server; 0: a place of a trunk, or a media server."""
    return Target("server", f"sip:1@{name}", "", "", "", (), (), PinnedTarget(0, server_id, name))


TARGETS = (*map(phone, ("a", "b", "c", "d", "e")),)


def rang(*answers: tuple[int, str] | int) -> Next | Told:
    """Return what follows when the two phones of the first stage have answered so."""
    pairs = [answer if isinstance(answer, tuple) else (answer, "") for answer in answers]
    attempts = tuple(Attempt(0, status, why=why, place=place) for place, (status, why) in enumerate(pairs))
    return after_stage(STAGES, 0, TARGETS, attempts, None)


@pytest.mark.parametrize(
    ("answers", "following"),
    [
        ((486, 486), 1),
        ((486, 408), 1),
        ((486, 503), 1),
        ((603, 0), 1),
        ((600, 0), 1),
        ((486, (480, "ring")), 2),
        (((480, "ring"), (480, "ring")), 2),
        (((480, "ring"), (404, "unreachable")), 2),
        (((480, "ring"), 603), 1),
        ((408, 408), 3),
        ((480, 480), 3),
        ((404, 404), 3),
        ((503, 500), 3),
        ((487, 487), 3),
        ((401, 407), 3),
        (((404, "unreachable"), (503, "branches")), 3),
        ((607, 0), 3),
    ],
)
def test_how_phones_that_rang_together_end(answers: tuple[tuple[int, str] | int, ...], following: int) -> None:
    """Declined before unanswered, unanswered before busy, busy before not there."""
    assert rang(*answers) == Next(following)


def test_who_rang_and_said_408_did_not_answer() -> None:
    """Its own timer ended the ringing."""
    attempts = (Attempt(0, 408, pdd_ms=200, place=0), Attempt(0, 486, place=1))
    assert after_stage(STAGES, 0, TARGETS, attempts, None) == Next(2)


@pytest.mark.parametrize(
    ("attempt", "told"),
    [
        (Attempt(0, 486), BUSY),
        (Attempt(0, 603), DECLINED),
        (Attempt(0, 480, why="ring"), UNAVAILABLE),
        (Attempt(0, 404), Told(404, "Not Found")),
        (Attempt(0, 404, why="unreachable"), UNAVAILABLE),
        (Attempt(0, 503), UNAVAILABLE),
        (Attempt(0, 607), Told(607, "Unwanted")),
    ],
)
def test_the_caller_hears_how_the_last_one_ended(attempt: Attempt, told: Told) -> None:
    """Nothing follows the second stage."""
    assert after_stage(STAGES, 1, TARGETS, (attempt._replace(place=2),), None) == told


@pytest.mark.parametrize(
    ("told", "attempt", "following"),
    [
        (BUSY, Attempt(7, 486), 1),
        (Told(480, "Later"), Attempt(7, 486), 1),
        (UNAVAILABLE, Attempt(7, 480, why="ring"), 2),
        (UNAVAILABLE, Attempt(7, 480), 3),
        (NO_CARRIER, Attempt(7, 503), 3),
        (Told(404, "Not Found"), Attempt(7, 404), 3),
    ],
)
def test_how_a_hunt_ends(told: Told, attempt: Attempt, following: int) -> None:
    """By what the hunt came to; a server's own table does not hide that the called was busy."""
    stages = (TWO_PHONES._replace(together=False), *STAGES[1:])
    assert after_stage(stages, 0, TARGETS, (attempt,), told) == Next(following)


def test_nobody_to_ask_is_busy() -> None:
    """A stage whose members are all in a call is passed over by its edge for that."""
    passed = TWO_PHONES._replace(passed=(0, 1))
    assert begin((passed, *STAGES[1:])) == Next(1)
    assert begin((passed._replace(busy=-1), *STAGES[1:])) == BUSY
    assert begin((TWO_PHONES._replace(passed=(1,)), *STAGES[1:])) == Next(0)
    stages = (TWO_PHONES, Stage(2, 1, True, 20, busy=3, passed=(2,)), *STAGES[2:])
    assert after_stage(stages, 0, TARGETS, (Attempt(0, 486, place=0), Attempt(0, 486, place=1)), None) == Next(3)


def test_a_rejection_is_told() -> None:
    """A callflow that says so behind a ring step."""
    stages = (TWO_PHONES._replace(busy=1), Stage(2, 0, status=480, phrase="Closed"))
    assert after_stage(stages, 0, TARGETS, (Attempt(0, 486, place=0),), None) == Told(480, "Closed", "flow_reject")
    assert begin(stages[1:]) == Told(480, "Closed", "flow_reject")


def test_an_edge_that_leads_back_is_none() -> None:
    """No route has one; whoever makes one by mistake gets a call that ends."""
    stages = (*STAGES[:1], Stage(2, 1, True, 20, busy=0))
    assert after_stage(stages, 1, TARGETS, (Attempt(0, 486, place=2),), None) == BUSY


def test_places_without_a_server_are_tried_one_after_the_other() -> None:
    """Those of a trunk all have server 0, which is never spent."""
    places = (server("x"), server("y"), server("z"))
    first = after_failure(places, 0, (Attempt(0, 503, place=0),))
    assert first == (1, places[1])
    second = after_failure(places, 1, (Attempt(0, 503, place=0), Attempt(0, 408, place=1)))
    assert second == (2, places[2])
    assert after_failure(places, 2, tuple(Attempt(0, 503, place=at) for at in range(3))) == UNAVAILABLE
    assert after_failure(places, 0, (Attempt(0, 486, place=0),)) == BUSY
