"""Numbers of ours and whom they reach."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.outcome import Target
from kemi.records import Lock
from tests.fakes.world import ALICE_NUMBER, BOB, BOB_NUMBER, CAROL_NUMBER, RESELLER, World, from_peer, invite


def test_a_number_of_ours_reaches_its_line() -> None:
    """The phones registered for the line are looked up; no carrier is asked."""
    route = World().route(invite(callee=BOB_NUMBER))
    assert [target.kind for target in route.targets] == ["local"]
    assert route.targets[0].address_of_record == BOB
    assert route.call.targets[0].name == BOB
    assert f"number {BOB_NUMBER} reaches sub {BOB}" in route.trace


@pytest.mark.parametrize(
    "break_it",
    [
        lambda world: world.change(f"num:{BOB_NUMBER}", status=2),
        lambda world: world.change(f"num:{BOB_NUMBER}", subscriber=""),
        lambda world: world.records.pop(f"sub:{BOB}"),
        lambda world: world.change(f"sub:{BOB}", status=2),
    ],
)
def test_what_is_gone_is_not_found(break_it: Any) -> None:
    """A number of ours never falls through to a carrier, which would bring it back to us."""
    world = World()
    break_it(world)
    refusal = world.refusal(invite(callee=BOB_NUMBER))
    assert (refusal.reason, refusal.status) == ("not_found", 404)
    assert refusal.trace[-1] == f"number {BOB_NUMBER} reaches nobody"


@pytest.mark.parametrize(
    ("name", "who"),
    [
        (f"num:{CAROL_NUMBER}", "the number"),
        ("sub:carol@b.example", "sub carol@b.example"),
        ("acct:8", "level 1 account 8"),
    ],
)
def test_who_is_suspended_is_unavailable(name: str, who: str) -> None:
    """480 to the caller; the trace says who it was."""
    world = World()
    world.change(name, status=1)
    for call in (invite(callee=CAROL_NUMBER), from_peer(CAROL_NUMBER)):
        refusal = world.refusal(call)
        assert (refusal.reason, refusal.status) == ("called_suspended", 480)
        assert refusal.trace[-1] == f"number {CAROL_NUMBER}: {who} is suspended"


@pytest.mark.parametrize(("lock", "word"), [(Lock.ALL, "all"), (Lock.GLOBAL, "global"), (9, "global")])
def test_who_is_locked_for_all_calls_is_unavailable(lock: int, word: str) -> None:
    """At any level of the called chain, told like a suspension; emergency numbers are nobody's lines."""
    world = World()
    world.change("acct:2", lock=lock)
    refusal = world.refusal(from_peer(CAROL_NUMBER))
    assert (refusal.reason, refusal.status) == ("called_suspended", 480)
    assert refusal.trace[-1] == f"number {CAROL_NUMBER}: level 2 account 2 is locked: {word}"
    assert world.route(invite(callee="112")).emergency


@pytest.mark.parametrize("lock", [Lock.NONE, Lock.FOREIGN, Lock.OUTGOING])
def test_a_weaker_lock_lets_calls_in(lock: Lock) -> None:
    """Who may not call may be called."""
    world = World()
    world.change("acct:8", lock=lock)
    assert world.route(from_peer(CAROL_NUMBER))
    assert world.route(invite(callee=CAROL_NUMBER))


def test_a_called_line_that_hangs_nowhere_is_our_fault() -> None:
    """An operator has to look."""
    world = World()
    world.change("sub:carol@b.example", account_id=99)
    assert world.refusal(from_peer(CAROL_NUMBER)).reason == "misconfigured"


@pytest.mark.parametrize("callee", ["33140000000", "442079999999"])
def test_a_peer_gets_no_transit(callee: str) -> None:
    """What is not ours is not found, however many carriers would take it."""
    refusal = World().refusal(from_peer(callee))
    assert (refusal.reason, refusal.status) == ("not_found", 404)
    assert refusal.call is not None
    assert (refusal.call.direction, refusal.call.source, refusal.call.callee) == ("in", "peer:acme", callee)


def test_a_tenants_carrier_reaches_that_tenant_only() -> None:
    """A carrier of one reseller cannot ring the phones of another."""
    world = World()
    world.change("pg:3", account_id=RESELLER)
    assert world.route(from_peer(CAROL_NUMBER)).call.direction == "in"
    world.change("pg:3", account_id=5)
    assert world.refusal(from_peer(CAROL_NUMBER)).reason == "not_found"
    target: Target = world.route(from_peer(ALICE_NUMBER)).targets[0]
    assert target.kind == "local"
