"""Where a destination ends, and how much of what one names is looked at."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.core.caller_id import CallerId
from kemi.core.draft import Draft
from kemi.core.outcome import Reject, Route
from kemi.core.walk import DIGITS_MAX, LEAPS_MAX, LINES_MAX, TOGETHER_MAX, Walk, whole
from kemi.records import Callflow, Forward, MediaServer, Number, Step, Subscriber, User
from tests.fakes.world import ABROAD, BOB, BOB_NUMBER, CAROL, CUSTOMER, NEIGHBOUR, World, invite

NUMBER = "442070000400"
SERVER = MediaServer(9, CUSTOMER, "ivr", "203.0.113.90", 5060, "udp")


def led(world: World, to: str, to_user: str = "") -> Route | Reject:
    """Return what becomes of carol's call to a number that leads there."""
    world.put(keys.number(NUMBER), Number(NUMBER, CUSTOMER, 0, "", to, to_user))
    decision = world.decide(invite(CAROL, callee=NUMBER))
    assert isinstance(decision, Route | Reject)
    return decision


def crowd(world: World, count: int) -> tuple[str, ...]:
    """Add lines; return their short names without kind."""
    line = world.records[keys.subscriber(BOB)]
    assert isinstance(line, Subscriber)
    names = tuple(f"line{n}@a.example" for n in range(count))
    for n, name in enumerate(names):
        world.put(keys.subscriber(name), line._replace(id=1_000 + n, username=f"line{n}"))
    return names


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("sub:nobody@a.example", "sub nobody@a.example does not exist"),
        ("user:99", "user 99 is not there"),
        ("user:x", "user x is not there"),
        ("ext:5:201", "extension 201 of account 5 is not there"),
        ("media:99", "media server 99 cannot be asked"),
        ("grp:99", "ring group 99 is not there"),
        ("flow:99", "callflow 99 is not there"),
        ("moon:1", f"number {NUMBER} of account {CUSTOMER} leads nowhere"),
        ("num:112", f"number {NUMBER} of account {CUSTOMER} leads to no number that may be called so"),
        ("num:0", f"number {NUMBER} of account {CUSTOMER} leads to no number that may be called so"),
    ],
)
def test_what_is_not_there_cannot_be_reached(to: str, sentence: str) -> None:
    """The caller hears that much, and the trail says what."""
    refusal = led(World(), to)
    assert isinstance(refusal, Reject)
    assert (refusal.reason, refusal.status, refusal.trace[-1]) == ("called_unavailable", 480, sentence)


def test_a_media_server_needs_an_address_and_somebody_to_call_there() -> None:
    """Either alone is nothing that can be asked."""
    world = World()
    world.put(keys.media_server(9), SERVER)
    assert isinstance(led(world, "media:9", "box"), Route)
    refusal = led(world, "media:9")
    assert isinstance(refusal, Reject)
    assert (refusal.reason, refusal.trace[-1]) == ("called_unavailable", "media server 9 cannot be asked")
    world.change(keys.media_server(9), address="")
    assert isinstance(led(world, "media:9", "box"), Reject)


def test_a_callflow_ends_at_what_nobody_knows() -> None:
    """A step of a later release's kind, and a group that is gone."""
    for step, sentence in (
        (Step("dance"), f"step 1 of callflow 1 of account {CUSTOMER} is of no known kind: the callflow ends"),
        (Step("ring", keys.ring_group(99)), f"callflow 1 of account {CUSTOMER} ends without ringing anybody"),
    ):
        world = World()
        world.put(keys.callflow(1), Callflow(1, CUSTOMER, "main", (step,)))
        refusal = led(world, "flow:1")
        assert isinstance(refusal, Reject)
        assert (refusal.reason, refusal.trace[-1]) == ("called_unavailable", sentence)


def test_whose_account_hangs_nowhere_is_not_called() -> None:
    """A user and a line of it, called by themselves, and its line among others."""
    world = World()
    world.change(keys.subscriber(BOB), account_id=77)
    world.put(keys.user(1), User(1, 77, "eva", 0, (BOB,)))
    world.put(keys.user(2), User(2, CUSTOMER, "fay", 0, (BOB,)))
    for to, reason, sentence in (
        (f"sub:{BOB}", "called_unavailable", f"sub {BOB}: its account hangs nowhere"),
        ("user:1", "called_suspended", "user 1 of account 77: its account hangs nowhere"),
        ("user:2", "offline", f"user 2 of account {CUSTOMER} has no line that rings"),
    ):
        refusal = led(world, to)
        assert isinstance(refusal, Reject)
        assert (refusal.reason, refusal.trace[-1]) == (reason, sentence)


def test_who_refuses_a_caller_is_told_to_records() -> None:
    """The account that refuses, whoever led there: a line's, and that of a user."""
    world = World()
    world.put(keys.user(1), User(1, NEIGHBOUR, "eva", 0, (CAROL,)))
    world.change(keys.account(NEIGHBOUR), blocked_in=("44*",))
    for to in (f"sub:{CAROL}", "user:1"):
        refusal = led(world, to)
        assert isinstance(refusal, Reject)
        assert (refusal.reason, refusal.account_id) == ("blocked_in", NEIGHBOUR)


def test_so_many_forwards_of_a_call_are_followed() -> None:
    """And one more is left out, with a sentence: each may cost money."""
    world = World()
    names = crowd(world, 3)
    kinds = ("busy", "no_answer", "unreachable")
    to = (names[0], names[1], ABROAD), (names[2], ABROAD, ABROAD), (ABROAD,) * 3, (ABROAD,) * 3
    for name, leads in zip((BOB, *names), to, strict=True):
        forwards = [
            Forward(n, kind, keys.number(each) if each == ABROAD else keys.subscriber(each))
            for n, (kind, each) in enumerate(zip(kinds, leads, strict=True), 1)
        ]
        world.change(keys.subscriber(name), forwards=tuple(forwards))
    route = world.route(invite(CAROL, callee=BOB_NUMBER))
    ends = f"number {ABROAD}: only {LEAPS_MAX} forwards of a call are followed"
    assert route.call.trace.count(ends) == 1
    world.change(keys.subscriber(BOB), forwards=())
    assert ends not in world.route(invite(CAROL, callee=BOB_NUMBER)).trace


def walk_of(world: World) -> tuple[Walk, Draft]:
    """Return a walk that has not begun."""
    draft = Draft(invite(CAROL), world.facts())
    return Walk(draft, CallerId("442080000003"), {}), draft


def test_so_many_lines_are_looked_at() -> None:
    """The first that is not is told of, once."""
    world = World()
    names = crowd(world, LINES_MAX + 2)
    sentence = f"the lines from here on are left out: a call looks at {LINES_MAX}"
    walk, draft = walk_of(world)
    assert len(walk.ringable(names[:LINES_MAX])[0]) == LINES_MAX
    assert sentence not in draft.trace
    assert walk.user_lines("1") == ((), False)
    assert draft.trace.count(sentence) == 1
    assert walk.ringable(names[-1:]) == ((), False)
    assert draft.trace.count(sentence) == 1


def test_so_many_lines_ring_at_once() -> None:
    """As many as a transaction has branches."""
    world = World()
    names = crowd(world, TOGETHER_MAX + 1)
    world.put(keys.user(1), User(1, CUSTOMER, "eva", 0, names))
    route = led(world, "user:1")
    assert f"1 of {TOGETHER_MAX + 1} lines left out: {TOGETHER_MAX} ring at once" in route.trace
    world.change(keys.user(1), lines=names[:-1])
    route = led(world, "user:1")
    assert isinstance(route, Route)
    assert len(route.targets) == TOGETHER_MAX
    assert not any("ring at once" in sentence for sentence in route.trace)


def test_of_trunks_at_fixed_addresses_the_first_rings() -> None:
    """Where there are phones too, none of them."""
    world = World()
    names = crowd(world, 3)
    for name in names[:2]:
        world.change(keys.subscriber(name), kind="ip_trunk")
    world.put(keys.user(1), User(1, CUSTOMER, "eva", 0, names[:2]))
    passed = [f"sub {name} passed over: it cannot ring with others" for name in names[:2]]
    assert [each for each in led(world, "user:1").trace if "with others" in each] == passed[1:]
    world.change(keys.user(1), lines=names)
    assert [each for each in led(world, "user:1").trace if "with others" in each] == passed


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("", 0), ("-1", 0), ("x", 0), ("٣", 0), ("9" * DIGITS_MAX, 10**DIGITS_MAX - 1), ("1" * 20, 0)],
)
def test_the_number_in_a_destination(text: str, number: int) -> None:
    """Whatever stands there, it is a number that a record may have, or none."""
    assert whole(text) == number
