"""What a failed attempt leads to."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.hunt import REDIRECTS_MAX, STOP, Told, Try, after_failure, attempts_most
from kemi.core.outcome import ServerLimits, Target
from kemi.records import Attempt, HuntRule
from tests.fakes.world import ACME_1, ACME_2, BELL_1, BOB_NUMBER, World, invite

CARRIERS = World().route(invite()).targets
PHONE = World().route(invite(callee=BOB_NUMBER)).targets
GO_ON = (
    *(300, 302, 400, 401, 402, 403, 405, 407, 408, 415, 429, 480, 482),
    *(483, 488, 491, 499, 500, 502, 503, 504, 580, 599),
)
UNAVAILABLE, NO_CARRIER = Told(480, "Temporarily Unavailable"), Told(503, "Service Unavailable")


def after(*statuses: int | tuple[int, str], targets: tuple[Target, ...] = CARRIERS, contact: str = "") -> Try | Told:
    """Return what follows when the first targets have failed so, one after the other."""
    pairs = [status if isinstance(status, tuple) else (status, "") for status in statuses]
    attempts = tuple(Attempt(targets[n].pinned.server_id, status, why=why) for n, (status, why) in enumerate(pairs))
    return after_failure(targets, len(attempts) - 1, attempts, contact)


def with_limits(*rules: HuntRule, place: int = 0, **fields: Any) -> tuple[Target, ...]:
    """Return the plan with other limits of one of its servers."""
    limits = ServerLimits(hunt=rules, **fields)
    return tuple(target._replace(limits=limits) if at == place else target for at, target in enumerate(CARRIERS))


@pytest.mark.parametrize("status", GO_ON)
def test_what_the_carrier_said_lets_the_hunt_go_on(status: int) -> None:
    """The called party was never asked; a status that nobody knows counts as such."""
    assert after(status) == Try(1, CARRIERS[1])
    assert after(503, 503, status) == Try(3, CARRIERS[3])


@pytest.mark.parametrize("status", [404, 410, 484, 485, 486, 487, 600, 603, 604, 606, 607, 608])
def test_what_the_called_party_said_is_final(status: int) -> None:
    """Busy is busy by any carrier, and the caller is told exactly that."""
    assert after(status) == Told(status, STOP[status])


def test_a_phone_that_rang_was_reached() -> None:
    """Another carrier would let the same phone ring."""
    assert after((480, "ring")) == UNAVAILABLE


@pytest.mark.parametrize("status", [601, 699, 700, 9999])
def test_an_unknown_global_failure_is_a_busy_everywhere(status: int) -> None:
    """RFC 3261 §8.1.3.2: an unknown status counts as the x00 of its class."""
    assert after(status) == Told(600, "Busy Everywhere")


@pytest.mark.parametrize("status", [status for status in GO_ON if status != 480])
def test_when_all_have_failed_the_caller_hears_one_thing(status: int) -> None:
    """No challenge, redirection or opinion of a carrier reaches the caller."""
    assert after(*(status for _ in CARRIERS)) == NO_CARRIER


@pytest.mark.parametrize("place", range(4))
def test_who_is_not_there_is_told_so(place: int) -> None:
    """One carrier has said it of the called; the others only spoke of themselves."""
    assert after(*(480 if at == place else 503 for at in range(4))) == UNAVAILABLE


@pytest.mark.parametrize("status", [401, 407, 408, 480, 500, 503])
def test_a_phone_that_fails_is_unavailable(status: int) -> None:
    """No carrier was involved, so none is blamed."""
    assert after(status, targets=PHONE) == UNAVAILABLE


def test_busy_on_a_phone_is_told() -> None:
    """486 from the phone is the answer."""
    assert after(486, targets=PHONE) == Told(486, "Busy Here")


@pytest.mark.parametrize("current", [-1, 4, 99])
def test_a_place_that_is_wrong_ends_the_hunt(current: int) -> None:
    """A plan that was lost or mixed up is not tried from its start again."""
    assert after_failure(CARRIERS, current, (Attempt(1, 503),)) == NO_CARRIER
    assert after_failure((), 0, (Attempt(1, 503),)) == NO_CARRIER
    assert after_failure(CARRIERS, 0, ()) == NO_CARRIER


def test_a_server_that_has_failed_is_not_asked_again() -> None:
    """Though the plan names it twice."""
    twice = (CARRIERS[0], CARRIERS[0], CARRIERS[1])
    assert after(503, targets=twice) == Try(2, CARRIERS[1])
    assert after(503, targets=twice[:2]) == NO_CARRIER


@pytest.mark.parametrize(
    ("rule", "outcome", "expected"),
    [
        (HuntRule(486, "continue"), (486, ""), Try(1, CARRIERS[1])),
        (HuntRule(603, "continue"), (603, ""), Try(1, CARRIERS[1])),
        (HuntRule(503, "stop"), (503, ""), NO_CARRIER),
        (HuntRule(503, "stop", 480, "Later"), (503, ""), Told(480, "Later")),
        (HuntRule(404, "stop", 604, "Nowhere"), (404, ""), Told(604, "Nowhere")),
        (HuntRule(404, "stop"), (404, ""), Told(404, "Not Found")),
        (HuntRule(407, "stop"), (407, ""), NO_CARRIER),
        (HuntRule(407, "stop", 407, "Pay"), (407, ""), NO_CARRIER),
        (HuntRule(403, "stop", 302, "Elsewhere"), (403, ""), NO_CARRIER),
        (HuntRule(403, "stop", 410, ""), (403, ""), Told(410, "Gone")),
        (HuntRule(480, "stop"), (480, ""), UNAVAILABLE),
        (HuntRule(480, "continue"), (480, "ring"), Try(1, CARRIERS[1])),
        (HuntRule(408, "stop"), (408, "pdd"), NO_CARRIER),
        (HuntRule(503, "stop"), (503, "channels"), Try(1, CARRIERS[1])),
        (HuntRule(503, "stop"), (503, "cps"), Try(1, CARRIERS[1])),
        (HuntRule(503, "stop"), (503, "unreachable"), Try(1, CARRIERS[1])),
        (HuntRule(500, "stop"), (503, ""), Try(1, CARRIERS[1])),
    ],
)
def test_a_servers_own_table_comes_first(rule: HuntRule, outcome: tuple[int, str], expected: Try | Told) -> None:
    """Whatever it says but what no caller may hear; it says nothing of a server that was not asked."""
    targets = with_limits(rule)
    told = after(outcome, targets=targets)
    assert (told.place if isinstance(told, Try) else told) == (
        expected.place if isinstance(expected, Try) else expected
    )


def test_another_servers_table_says_nothing() -> None:
    """Each carrier means what it says."""
    assert after(486, targets=with_limits(HuntRule(486, "continue"), place=1)) == Told(486, "Busy Here")


def test_what_a_table_tells_counts_at_the_end_too() -> None:
    """The last server's that has a word for what it said; before any 480."""
    first, second = HuntRule(500, "continue", 404, "Gone Away"), HuntRule(500, "continue", 410, "Moved")
    one = with_limits(first)
    assert after(500, 480, 503, 503, targets=one) == Told(404, "Gone Away")
    both = tuple(
        two if at == 1 else target
        for at, (target, two) in enumerate(zip(one, with_limits(second, place=1), strict=True))
    )
    assert after(500, 500, 503, 503, targets=both) == Told(410, "Moved")
    assert after((500, "unreachable"), 503, 503, 503, targets=one) == NO_CARRIER


REDIRECTING: dict[str, Any] = {"redirects": True, "hosts": ("203.0.113.7", "203.0.113.8", "2001:db8::4")}


@pytest.mark.parametrize(
    ("contact", "ruri", "next_hop"),
    [
        ("<sip:4930@203.0.113.8:5070>", "sip:4930@203.0.113.8:5070", "sip:203.0.113.8:5070"),
        ("sip:4930@203.0.113.8;q=0.5", "sip:4930@203.0.113.8:5060", "sip:203.0.113.8:5060"),
        ("<sip:4930@[2001:DB8:0::4]>", "sip:4930@[2001:db8::4]:5060", "sip:[2001:db8::4]:5060"),
        ("<sip:4930@192.0.2.99:9999>", "sip:4930@203.0.113.7:5060", "sip:203.0.113.7:5060"),
        ('"X" <sip:49%3e30@evil.example>', "sip:49%3E30@203.0.113.7:5060", "sip:203.0.113.7:5060"),
    ],
)
def test_a_redirection_is_followed_where_it_may(contact: str, ruri: str, next_hop: str) -> None:
    """To an address of the group; a foreign one is not believed, and the same server is asked for the new user."""
    first = next(target for target in CARRIERS if target.pinned.server_id == ACME_1)
    plan = (first._replace(limits=ServerLimits(**REDIRECTING)), CARRIERS[2])
    step = after_failure(plan, 0, (Attempt(ACME_1, 302),), contact)
    assert isinstance(step, Try)
    assert step.place == 0
    assert (step.target.ruri, step.target.next_hop) == (ruri, f"{next_hop};transport=udp")
    assert step.target == plan[0]._replace(ruri=step.target.ruri, next_hop=step.target.next_hop)


@pytest.mark.parametrize(
    "contact",
    [
        "",
        "*",
        "<tel:+4930>",
        "<sips:4930@203.0.113.8>",
        "<sip:203.0.113.8>",
        "<sip:%%@203.0.113.8>",
        "<sip:@>",
        "<" * 600,
    ],
)
def test_what_is_no_redirection_is_a_failure(contact: str) -> None:
    """The next carrier is tried, and the caller is told nothing of it."""
    assert after(302, targets=with_limits(**REDIRECTING), contact=contact) == Try(1, CARRIERS[1])


def test_without_permission_a_redirection_is_a_failure() -> None:
    """It would lead a call that we pay for anywhere."""
    assert after(302, contact="<sip:4930@203.0.113.8>") == Try(1, CARRIERS[1])
    assert after(302, targets=CARRIERS[:1], contact="<sip:4930@203.0.113.8>") == NO_CARRIER


def test_a_redirection_to_itself_is_a_failure() -> None:
    """The same question has the same answer."""
    plan = with_limits(**REDIRECTING)
    assert after(302, targets=plan, contact=f"<{plan[0].ruri}>") == Try(1, CARRIERS[1])


@pytest.mark.parametrize(("followed", "is_followed"), [(0, True), (2, True), (3, False)])
def test_redirections_have_a_bound(followed: int, is_followed: bool) -> None:
    """Per call, not per server."""
    plan = with_limits(place=1, **REDIRECTING)
    before = tuple(Attempt(CARRIERS[0].pinned.server_id, 302, why="redirect") for _ in range(followed))
    step = after_failure(plan, 1, (*before, Attempt(plan[1].pinned.server_id, 302)), "<sip:4930@203.0.113.8:5070>")
    assert isinstance(step, Try)
    assert step.place == (1 if is_followed else 2)


def test_a_redirected_server_that_fails_is_left() -> None:
    """The hunt goes on after its place."""
    plan = with_limits(**REDIRECTING)
    server_id = plan[0].pinned.server_id
    attempts = (Attempt(server_id, 302, why="redirect"), Attempt(server_id, 503))
    assert after_failure(plan, 0, attempts) == Try(1, plan[1])


@pytest.mark.parametrize("action", ["stop", "continue"])
def test_a_table_that_names_302_is_asked_first(action: str) -> None:
    """The operator has said what it means."""
    plan = with_limits(HuntRule(302, action), **REDIRECTING)
    step = after(302, targets=plan, contact="<sip:4930@203.0.113.8>")
    assert step == (NO_CARRIER if action == "stop" else Try(1, CARRIERS[1]))


def test_a_plan_says_how_many_attempts_it_may_take() -> None:
    """Redirections add to it, where a server may redirect."""
    assert attempts_most(CARRIERS) == len(CARRIERS)
    assert attempts_most(with_limits(**REDIRECTING)) == len(CARRIERS) + REDIRECTS_MAX


def test_the_hold_is_priced_for_redirections_too() -> None:
    """A call that may ring longer may meet dearer prices: days that end in that time are known beforehand."""
    world = World()
    for server_id in (ACME_1, ACME_2, BELL_1):
        world.change_server(server_id, redirects=True)
    targets = world.route(invite()).targets
    assert attempts_most(targets) == len(targets) + REDIRECTS_MAX
    assert next(target for target in targets if target.pinned.server_id == ACME_1).limits.hosts == (
        "203.0.113.7",
        "203.0.113.8",
    )
