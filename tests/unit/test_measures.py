"""What the NOC has put into quarantine, as a decision sees it."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.measures import NO_MEASURES, Measures, Quarantine, Traced, measures
from kemi.core.outcome import Reject, Route
from tests.fakes.world import (
    ABROAD,
    ACME,
    ACME_1,
    ACME_2,
    ALICE_NUMBER,
    BELL,
    BELL_1,
    BOB,
    OWN_1,
    World,
    from_peer,
    invite,
    register,
)

ALL = {ACME_1, ACME_2, BELL_1, OWN_1}


def servers(world: World, quarantine: Quarantine) -> set[int]:
    return {target.pinned.server_id for target in world.route(invite(), quarantine=quarantine).targets}


@pytest.mark.parametrize(("account", "level"), [(5, 1), (3, 2), (2, 3), (1, 4)])
def test_an_account_in_quarantine_and_all_below_it_make_no_calls(account: int, level: int) -> None:
    quarantine = Quarantine(accounts=frozenset((account,)))
    refusal = World().refusal(invite(), quarantine=quarantine)
    assert (refusal.reason, refusal.status, refusal.account_id) == ("quarantined", 403, account)
    assert refusal.trace[-1] == f"level {level} account {account} is in quarantine"
    assert refusal.call is not None, "a CDR says so"


def test_another_account_s_quarantine_is_nobody_else_s() -> None:
    assert World().route(invite(), quarantine=Quarantine(accounts=frozenset((8,))))


@pytest.mark.parametrize("callee", [BOB, f"{ALICE_NUMBER}@a.example"])
def test_calls_inside_are_refused_too(callee: str) -> None:
    """Nobody pays for them, but a stolen line would ring everybody."""
    refusal = World().refusal(invite(callee=callee), quarantine=Quarantine(accounts=frozenset((5,))))
    assert refusal.reason == "quarantined"


def test_an_account_in_quarantine_is_called_all_the_same() -> None:
    route = World().route(from_peer(), quarantine=Quarantine(accounts=frozenset((5,))))
    assert route.targets[0].address_of_record


def test_an_emergency_call_passes_its_account_s_quarantine() -> None:
    route = World().route(invite(callee="112@a.example"), quarantine=Quarantine(accounts=frozenset((1, 2, 3, 5))))
    assert route.emergency


@pytest.mark.parametrize("network", ["192.0.2.1/32", "192.0.0.0/8"])
@pytest.mark.parametrize("callee", [ABROAD, "112@a.example"])
@pytest.mark.parametrize("ip", ["192.0.2.1", "::ffff:192.0.2.1"])
def test_nothing_comes_from_a_source_in_quarantine(network: str, callee: str, ip: str) -> None:
    """Emergency calls neither, which the flood may be made of."""
    refusal = World().refusal(invite(callee=callee, source_ip=ip), quarantine=Quarantine(sources=(network,)))
    assert (refusal.reason, refusal.status) == ("quarantined", 403)
    assert refusal.trace == (f"source {network} is in quarantine",)


@pytest.mark.parametrize("store_up", [True, False])
def test_a_registration_from_there_is_refused_whether_redis_answers_or_not(store_up: bool) -> None:
    call = register(source_ip="2001:db8::7")
    found = World().decide(call, quarantine=Quarantine(sources=("2001:db8::/32",)), store_up=store_up)
    assert isinstance(found, Reject)
    assert found.reason == "quarantined"


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"carriers": frozenset((ACME,))}, ALL - {ACME_1, ACME_2}),
        ({"servers": frozenset((ACME_1,))}, ALL - {ACME_1}),
        ({"servers": frozenset((BELL_1, ACME_2))}, ALL - {BELL_1, ACME_2}),
    ],
)
def test_a_carrier_in_quarantine_is_left_out_with_a_sentence(change: dict[str, Any], left: set[int]) -> None:
    quarantine = Quarantine(**change)
    assert servers(World(), quarantine) == left
    trace = World().route(invite(), quarantine=quarantine).trace
    assert sum("it is in quarantine" in sentence for sentence in trace) == sum(map(len, change.values()))


def test_a_call_whose_carriers_are_all_in_quarantine_is_refused() -> None:
    """Unlike servers that failed lately, which are tried where nobody else is left."""
    refusal = World().refusal(invite(), quarantine=Quarantine(servers=frozenset(ALL)))
    assert refusal.reason == "no_route"
    assert {choice.why for choice in refusal.choices} == {"it is in quarantine"}


def test_an_emergency_call_may_use_a_carrier_in_quarantine() -> None:
    route = World().route(invite(callee="112@a.example"), quarantine=Quarantine(carriers=frozenset((ACME, BELL))))
    assert isinstance(route, Route)
    assert route.targets


def test_measures_are_read_from_pairs_and_what_is_unknown_counts_nowhere() -> None:
    rows = [
        ("account", "7"),
        ("server", "x"),
        ("source", "10.0.0.0/8"),
        ("line", "a@b"),
        ("prefix", "49"),
        ("moon", "1"),
    ]
    expected = Measures(
        Quarantine(accounts=frozenset((7,)), sources=("10.0.0.0/8",)), Traced(frozenset(("a@b",)), ("49",))
    )
    assert measures(rows) == expected
    assert measures(()) == NO_MEASURES
    assert Quarantine(sources=("no network",)).network_of("192.0.2.1") == ""
    assert Quarantine(sources=("10.0.0.0/8",)).network_of("no address") == ""


@pytest.mark.parametrize(
    ("lines", "numbers", "matched"),
    [
        (["x@y", "a@b"], [], "line a@b"),
        (["x@y"], ["4930", "33"], "prefix 49"),
        (["x@y"], ["33", ""], ""),
        ([], [], ""),
    ],
)
def test_a_call_is_traced_for_its_lines_and_its_numbers(lines: list[str], numbers: list[str], matched: str) -> None:
    assert Traced(frozenset(("a@b",)), ("49",)).match(lines, numbers) == matched
