"""What lines may not call, and who may not call them."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.outcome import Reject
from kemi.core.pattern import WAYS_MAX, compile_pattern
from kemi.records import BarringLevel, BarringRule, ReplyOverride, Span, TimeSet
from tests.fakes.world import ABROAD, ALICE_NUMBER, BOB, BOB_NUMBER, CAROL_NUMBER, World, from_peer, from_trunk, invite

FRANCE = BarringLevel(4, "no France", False, (BarringRule(6, "^49"), BarringRule(7, "^33")))
BRITAIN_ONLY = BarringLevel(5, "Britain", True, (BarringRule(8, "^44"),))
NIGHT = TimeSet(9, "night", "UTC", (Span(0, 300),))  # Monday until five: NOW_MS is Monday 02:40


def barred(name: str = "acct:5", field: str = "barring_id", level: BarringLevel = FRANCE, **fields: Any) -> World:
    world = World()
    world.put(f"bar:{level.id}", level._replace(**fields))
    world.change(name, **{field: level.id})
    return world


@pytest.mark.parametrize(
    ("name", "who", "account_id"),
    [
        ("sub:alice@a.example", "sub alice@a.example", 5),
        ("acct:5", "level 1 account 5", 5),
        ("acct:3", "level 2 account 3", 3),
        ("acct:2", "level 3 account 2", 2),
        ("acct:1", "level 4 account 1", 1),
    ],
)
@pytest.mark.parametrize("field", ["barring_id", "own_barring_id"])
def test_a_level_holds_for_the_line_and_all_below(name: str, who: str, account_id: int, field: str) -> None:
    """Whoever has set it, the administrator or the account itself; the refusal says where."""
    refusal = barred(name, field).refusal(invite())
    assert (refusal.reason, refusal.status, refusal.account_id) == ("barred", 403, account_id)
    assert refusal.trace[-1] == f"{who}: barring level 4 (no France) rule 7"


def test_what_no_rule_names_passes_a_blacklist() -> None:
    """Only rule 6 is left, and France is not Germany."""
    assert barred(rules=FRANCE.rules[:1]).route(invite())


def test_a_whitelist_bars_all_but_what_it_names() -> None:
    """A call to Britain passes (though no carrier takes it), one to France does not."""
    world = barred(level=BRITAIN_ONLY)
    assert world.refusal(invite(callee="442099999999")).reason == "no_route"
    refusal = world.refusal(invite())
    assert refusal.trace[-1] == "level 1 account 5: barring level 5 (Britain) allows only what its rules name"


@pytest.mark.parametrize("is_whitelist", [False, True])
def test_a_level_that_takes_too_long_is_tried_as_far_as_it_may(is_whitelist: bool) -> None:
    """What stands beyond matches nothing: a blacklist bars no more, a whitelist allows no more."""
    most = WAYS_MAX // compile_pattern(".*x").ways
    useless = tuple(BarringRule(100 + n, ".*x") for n in range(most))
    world = barred(is_whitelist=is_whitelist, rules=(*useless[1:], BarringRule(7, "^33")))
    assert isinstance(world.decide(invite()), Reject) is not is_whitelist
    world = barred(is_whitelist=is_whitelist, rules=(*useless, BarringRule(7, "^33")))
    assert isinstance(world.decide(invite()), Reject) is is_whitelist


def test_an_empty_whitelist_bars_everything() -> None:
    """And an empty blacklist nothing."""
    assert barred(level=BRITAIN_ONLY, rules=()).refusal(invite()).reason == "barred"
    assert barred(rules=()).route(invite())


def test_the_order_is_line_first_and_above_before_own() -> None:
    """The first level that bars is the one that is told."""
    world = barred()
    world.put("bar:44", FRANCE._replace(id=44))
    world.put("bar:45", FRANCE._replace(id=45))
    world.change("acct:5", own_barring_id=44)
    assert "barring level 4 " in world.refusal(invite()).trace[-1]
    world.change("sub:alice@a.example", own_barring_id=44, barring_id=45)
    assert world.refusal(invite()).trace[-1].startswith("sub alice@a.example: barring level 45 ")


@pytest.mark.parametrize(("zone_min", "is_barred"), [(Span(0, 300), True), (Span(300, 600), False)])
def test_a_level_with_times_holds_then(zone_min: Span, is_barred: bool) -> None:
    """At other times it says nothing, whitelist or not."""
    world = barred(time_set_id=9)
    world.put("tset:9", NIGHT._replace(spans=(zone_min,)))
    assert isinstance(world.decide(invite()), Reject) is is_barred


def test_calls_between_lines_of_ours_may_be_spared() -> None:
    """As the level says."""
    world = barred(level=BRITAIN_ONLY, rules=())
    assert world.refusal(invite(callee=BOB_NUMBER)).reason == "barred"
    world.change("bar:5", spares_internal=True)
    assert world.route(invite(callee=BOB_NUMBER)).call.direction == "internal"
    assert world.refusal(invite()).reason == "barred"


def test_a_level_that_is_gone_bars_everything() -> None:
    """It may have been a whitelist; and it is told. An emergency call passes."""
    world = barred()
    del world.records["bar:4"]
    refusal = world.refusal(invite())
    assert refusal.reason == "barred"
    assert refusal.trace[-1].endswith(": barring level 4 is not known")
    assert world.route(invite(callee="112")).emergency


def test_it_is_the_number_in_e164_that_counts() -> None:
    """Not what was dialled: 0033… is France."""
    assert barred().refusal(invite(callee="0033140000000")).reason == "barred"


def test_an_emergency_call_passes() -> None:
    """A level that allows nothing allows that."""
    world = barred("sub:alice@a.example", level=BRITAIN_ONLY, rules=())
    world.change("acct:5", blocked_out=("*",))
    assert world.route(invite(callee="112")).emergency


@pytest.mark.parametrize(
    ("mask", "is_blocked"), [("33*", True), ("3314000000?", True), ("331[3-5]*", True), ("33", False), ("44*", False)]
)
@pytest.mark.parametrize(
    ("name", "who"), [("sub:alice@a.example", "sub alice@a.example"), ("acct:3", "level 2 account 3")]
)
def test_a_number_can_be_blocked(mask: str, is_blocked: bool, name: str, who: str) -> None:
    """Shell patterns over all digits."""
    world = World()
    world.change(name, blocked_out=("39*", mask))
    decision = world.decide(invite())
    assert isinstance(decision, Reject) is is_blocked
    if isinstance(decision, Reject):
        assert (decision.reason, decision.status, decision.phrase) == ("blocked_out", 403, "Number Blocked")
        assert decision.trace[-1] == f"{who} blocks calls to {mask}"


def test_a_level_comes_before_a_block_list_of_the_same_holder() -> None:
    """And a line's list before the levels of its accounts."""
    world = barred()
    world.change("acct:5", blocked_out=("33*",))
    assert world.refusal(invite()).reason == "barred"
    world.change("sub:alice@a.example", blocked_out=("33*",))
    assert world.refusal(invite()).reason == "blocked_out"


@pytest.mark.parametrize("name", ["sub:bob@a.example", "acct:5", "acct:3", "acct:1"])
def test_a_line_need_not_take_every_call(name: str) -> None:
    """From another line of ours and from a carrier; 603: no other way leads there either."""
    world = World()
    world.change(name, blocked_in=(ALICE_NUMBER, "33199*"))
    for call in (invite(callee=BOB_NUMBER), from_peer(BOB_NUMBER)):
        refusal = world.refusal(call)
        assert (refusal.reason, refusal.status, refusal.phrase, refusal.q850) == ("blocked_in", 603, "Decline", 21)
    assert world.route(from_peer(BOB_NUMBER, "33288888888@carrier.example")).targets


def test_calls_to_others_are_not_concerned() -> None:
    """The list is bob's, and carol has none."""
    world = World()
    world.change("sub:bob@a.example", blocked_in=("*",))
    assert world.route(from_peer(CAROL_NUMBER)).targets
    assert world.route(invite(BOB)).targets


def test_who_hides_his_number_is_anonymous_and_nothing_else() -> None:
    """Hiding can be blocked; but a list that fitted the number all the same would tell whose it is."""
    world = World()
    world.change("sub:bob@a.example", blocked_in=("anonymous",))
    assert world.route(invite(callee=BOB_NUMBER)).targets
    assert world.refusal(invite(callee=BOB_NUMBER, privacy="id")).reason == "blocked_in"
    assert world.refusal(from_peer(BOB_NUMBER, "anonymous@anonymous.invalid")).reason == "blocked_in"
    world.change("sub:bob@a.example", blocked_in=(ALICE_NUMBER,))
    assert world.refusal(invite(callee=BOB_NUMBER)).reason == "blocked_in"
    assert world.route(invite(callee=BOB_NUMBER, privacy="id")).targets


def test_a_tenants_own_answer_counts() -> None:
    """The refusal is one like all others."""
    world = barred()
    world.change("acct:5", replies=(ReplyOverride("barred", 480, "Not From Here"),))
    refusal = world.refusal(invite())
    assert (refusal.status, refusal.phrase) == (480, "Not From Here")


def test_what_was_looked_at_is_told_to_the_hold() -> None:
    """A level and its times that change make the decision stale."""
    world = barred(level=BRITAIN_ONLY, rules=(*BRITAIN_ONLY.rules, BarringRule(9, "^33")), time_set_id=9)
    world.put("tset:9", NIGHT)
    assert {"bar:5", "tset:9"} <= set(world.route(from_trunk(ABROAD)).hold.used)
