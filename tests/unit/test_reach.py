"""Groups once the hold is answered: where it begins, and who is passed over."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.core.hunt import Told, after_stage, begin
from kemi.core.known import Known
from kemi.core.outcome import Route, Stage
from kemi.core.reach import arranged
from kemi.core.staging import TARGETS_MAX
from kemi.core.walk import LINES_MAX
from kemi.records import Attempt, Callflow, Forward, Member, Number, RingGroup, Step, Subscriber, TrunkPlace, User
from kemi.settings import Limits
from tests.fakes.world import ALICE, BOB, BOB_NUMBER, CAROL, CUSTOMER, TRUNK, World, enrich, from_peer, invite

NUMBER = "442070000400"
LINES = {ALICE: "line1:", BOB: "line2:", TRUNK: "line4:"}
GROUP = RingGroup(7, CUSTOMER, "sales", "circular", tuple(Member(keys.subscriber(name)) for name in LINES), member_s=15)


def world_of(group: RingGroup = GROUP) -> World:
    """Return a world with the group, whose lines' calls are counted."""
    world = World()
    world.put(keys.ring_group(7), group)
    world.put(keys.number(NUMBER), Number(NUMBER, CUSTOMER, 0, "", keys.ring_group(7)))
    for name, fund in LINES.items():
        line = world.records[keys.subscriber(name)]
        assert isinstance(line, Subscriber)
        world.put(keys.subscriber(name), line._replace(counted=(fund,)))
    return world


def route(group: RingGroup = GROUP) -> Route:
    """Return carol's call to the group."""
    return world_of(group).route(invite(CAROL, callee=NUMBER))


def order(found: Route) -> list[str]:
    """Return who rings, in turn."""
    names = [[found.targets[place].address_of_record for place in stage.places] for stage in found.stages]
    return [" ".join(each) for each in names]


@pytest.mark.parametrize(
    ("taken", "first"),
    [(0, [ALICE, BOB, TRUNK]), (1, [BOB, TRUNK, ALICE]), (2, [TRUNK, ALICE, BOB]), (3, [ALICE, BOB, TRUNK])],
)
def test_a_circle_begins_with_the_next_each_call(taken: int, first: list[str]) -> None:
    """What leads from one place to the next stays with the place."""
    found = arranged(route(), {}, {7: taken})
    assert order(found) == first
    assert [(stage.busy, stage.no_answer, stage.unreachable) for stage in found.stages] == [
        (1, 1, 1),
        (2, 2, 2),
        (-1, -1, -1),
    ]
    assert found.targets == route().targets


def test_each_member_takes_its_own_time_along() -> None:
    """And how it is asked: a trunk at fixed addresses is hunted through wherever its turn is."""
    members = tuple(Member(keys.subscriber(name), ring_s) for name, ring_s in zip(LINES, (10, 20, 30), strict=True))
    found = arranged(route(GROUP._replace(members=members)), {}, {7: 2})
    assert [stage.ring_s for stage in found.stages] == [30, 10, 20]
    assert all(stage.together for stage in found.stages)
    assert [stage.size for stage in found.stages] == [1, 1, 1]


def test_a_member_takes_all_its_phones_along() -> None:
    """A user with two lines changes places with a trunk at fixed addresses."""
    world = world_of(GROUP._replace(members=(Member(keys.user(1)), Member(keys.subscriber(TRUNK)))))
    world.put(keys.user(1), User(1, CUSTOMER, "eva", 0, (ALICE, BOB)))
    world.change(keys.subscriber(TRUNK), kind="ip_trunk", places=(TrunkPlace(1, "203.0.113.80"),))
    found = world.route(invite(CAROL, callee=NUMBER))
    assert [(stage.size, stage.together) for stage in found.stages] == [(2, True), (1, False)]
    found = arranged(found, {}, {7: 1})
    assert [(stage.size, stage.together) for stage in found.stages] == [(1, False), (2, True)]


def test_only_a_circle_turns() -> None:
    """Whatever a store says of another group."""
    group = GROUP._replace(policy="serial", skip_busy=True)
    assert order(arranged(route(group), {}, {7: 1})) == [ALICE, BOB, TRUNK]


def test_without_the_stores_word_it_begins_with_the_first() -> None:
    """And nobody is passed over."""
    assert order(arranged(route(GROUP._replace(skip_busy=True)), {}, {})) == [ALICE, BOB, TRUNK]


def test_who_is_in_a_call_is_passed_over() -> None:
    """In a circle as in a row, and where all ring at once."""
    counts = {"line2:": 1, "line1:": 0}
    assert order(arranged(route(GROUP._replace(skip_busy=True)), counts, {7: 1})) == ["", TRUNK, ALICE]
    assert order(arranged(route(GROUP._replace(skip_busy=True, policy="serial")), counts, {})) == [ALICE, "", TRUNK]
    assert order(arranged(route(GROUP._replace(skip_busy=True, policy="parallel")), counts, {})) == [f"{ALICE} {TRUNK}"]
    assert order(arranged(route(GROUP), counts, {})) == [ALICE, BOB, TRUNK]
    assert route(GROUP._replace(skip_busy=True, policy="parallel")).hold.turns == ()
    assert route(GROUP).hold.turns == (7,)


def test_where_all_are_in_a_call_the_group_is_busy() -> None:
    """The caller is told so, or the overflow rings."""
    group = GROUP._replace(skip_busy=True, policy="parallel")
    counts = dict.fromkeys(LINES.values(), 1)
    assert begin(arranged(route(group), counts, {}).stages) == Told(486, "Busy Here")
    found = arranged(route(group._replace(overflow=keys.subscriber(CAROL))), counts, {})
    assert begin(found.stages) == (1,)


def test_the_time_of_all_goes_to_who_comes_first() -> None:
    """A circle of three of whom two have time, whoever begins."""
    group = GROUP._replace(total_s=20)
    found = arranged(route(group), {}, {7: 1})
    assert order(found) == [BOB, TRUNK, ""]
    assert [stage.ring_s for stage in found.stages if stage.places] == [15, 5]
    assert order(arranged(route(group._replace(skip_busy=True)), {"line4:": 1}, {7: 1})) == [BOB, "", ALICE]
    last = arranged(route(group._replace(total_s=16)), {}, {})
    assert [stage.ring_s for stage in last.stages if stage.places] == [15, 1]


def test_a_route_without_turns_stays_as_it_is() -> None:
    """Nearly every route."""
    plain = World().route(invite())
    assert arranged(plain, {"line1:": 1}, {7: 1}) is plain


def crowd(count: int, steps: int) -> World:
    """Return a world with a callflow that rings a group of users again and again, each with as many lines."""
    world = World()
    line = world.records[keys.subscriber(BOB)]
    assert isinstance(line, Subscriber)
    names = [f"line{n}@b.example" for n in range(count)]
    for n, name in enumerate(names):
        world.put(keys.subscriber(name), line._replace(id=1_000 + n, username=name.partition("@")[0]))
        world.put(keys.user(n + 1), User(n + 1, CUSTOMER, f"user{n}", 0, tuple(names)))
    members = tuple(Member(keys.user(n + 1)) for n in range(count))
    world.put(keys.ring_group(7), RingGroup(7, CUSTOMER, "all", "serial", members, member_s=5))
    ends = Step("reject", status=480, phrase="Closed now")
    world.put(keys.callflow(1), Callflow(1, CUSTOMER, "main", (*[Step("ring", keys.ring_group(7))] * steps, ends)))
    world.put(keys.number(NUMBER), Number(NUMBER, CUSTOMER, 0, "", keys.callflow(1)))
    return world


def test_what_one_call_looks_at_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: however many steps ring however many users with however many lines."""
    looked: list[object] = []
    of_line, of_user = Known.subscriber, Known.user

    def line(self: Known, name: str) -> Subscriber | None:
        looked.append(name)
        return of_line(self, name)

    def user(self: Known, user_id: int) -> User | None:
        looked.append(user_id)
        return of_user(self, user_id)

    world = crowd(64, 64)
    monkeypatch.setattr(Known, "subscriber", line)
    monkeypatch.setattr(Known, "user", user)
    found = world.route(invite(CAROL, callee=NUMBER))
    assert len(looked) <= LINES_MAX + 4  # and the caller
    assert len(found.targets) <= TARGETS_MAX
    assert f"the lines from here on are left out: a call looks at {LINES_MAX}" in found.call.trace
    assert [stage.status for stage in found.stages].count(480) == 1, "what ends the callflow is followed"


def test_a_budget_is_one_for_all_flows_of_a_call() -> None:
    """A chain of forwards and flows does not begin anew."""
    world = crowd(64, 64)
    for n in (2, 3, 4):
        world.put(keys.callflow(n), Callflow(n, CUSTOMER, f"flow{n}", (Step("flow", keys.callflow(n - 1)),)))
    world.change(keys.subscriber(BOB), forwards=(Forward(1, "always", keys.callflow(4)),))
    world.put(keys.number(NUMBER), Number(NUMBER, CUSTOMER, 0, BOB))
    found = world.route(invite(CAROL, callee=NUMBER))
    assert sum("left out: a call looks at" in each for each in found.call.trace) == 1


def test_no_more_is_asked_of_the_store_than_it_takes() -> None:
    """10 circular groups, and 70 lines that may be in a call: the call goes."""
    world = World()
    steps = tuple(Step("ring", keys.ring_group(n)) for n in range(11, 21))
    for n in range(11, 21):
        member = (Member(keys.subscriber(ALICE)),)
        world.put(keys.ring_group(n), RingGroup(n, CUSTOMER, f"g{n}", "circular", member, member_s=5))
    world.put(keys.callflow(1), Callflow(1, CUSTOMER, "main", steps))
    world.put(keys.number(NUMBER), Number(NUMBER, CUSTOMER, 0, "", keys.callflow(1)))
    found = world.route(invite(CAROL, callee=NUMBER))
    assert found.hold.turns == tuple(range(11, 19))
    assert arranged(found, {}, dict.fromkeys(found.hold.turns, 1)).targets == found.targets
    line = world.records[keys.subscriber(BOB)]
    assert isinstance(line, Subscriber)
    names = [f"line{n}@b.example" for n in range(70)]
    for n, name in enumerate(names):
        world.put(keys.subscriber(name), line._replace(id=1_000 + n, username=name.partition("@")[0]))
    for n in (11, 12):
        part = tuple(Member(keys.subscriber(name)) for name in names[n % 2 * 35 :][:35])
        group = RingGroup(n, CUSTOMER, f"g{n}", "parallel", part, member_s=5, skip_busy=True)
        world.put(keys.ring_group(n), group)
    world.change(keys.callflow(1), steps=steps[:2])
    found = world.route(invite(CAROL, callee=NUMBER))
    assert len(found.hold.asks) <= 64
    assert len(found.targets) == TARGETS_MAX


def test_no_more_branches_than_a_transaction_has() -> None:
    """The last that rings, rings in part, with a sentence; and what fits goes without one."""
    world = crowd(40, 1)
    lines = world.records[keys.user(1)]
    assert isinstance(lines, User)
    steps = (Step("ring", keys.user(1)), Step("ring", keys.user(2)), Step("ring", keys.user(1)))
    world.change(keys.callflow(1), steps=steps)
    for user_id, part in ((1, lines.lines[:20]), (2, lines.lines[20:])):
        world.change(keys.user(user_id), lines=part)
    found = world.route(invite(CAROL, callee=NUMBER))
    assert [stage.size for stage in found.stages] == [20, 10]
    assert f"10 of 20 branches left out: a call has {TARGETS_MAX}" in found.trace
    assert f"left out: a call has {TARGETS_MAX} branches" in found.trace
    world.change(keys.user(2), lines=lines.lines[20:30])
    found = world.route(invite(CAROL, callee=NUMBER))
    assert [stage.size for stage in found.stages] == [20, 10]
    assert not any("branches left out" in sentence for sentence in found.trace)
    world.change(keys.user(2), lines=lines.lines[20:29])
    assert [stage.size for stage in world.route(invite(CAROL, callee=NUMBER)).stages] == [20, 9, 1]


def test_the_rejection_behind_a_ring_is_told() -> None:
    """As the callflow says it, when nobody has answered."""
    world = World()
    steps = (Step("ring", keys.subscriber(BOB)), Step("reject", status=480, phrase="Closed now"))
    world.put(keys.callflow(1), Callflow(1, CUSTOMER, "main", steps))
    world.put(keys.number(NUMBER), Number(NUMBER, CUSTOMER, 0, "", keys.callflow(1)))
    found = world.route(invite(CAROL, callee=NUMBER))
    assert found.stages[1] == Stage(1, 0, status=480, phrase="Closed now")
    attempt = Attempt(0, 486, place=0)
    assert after_stage(found.stages, 0, found.targets, (attempt,), None) == Told(480, "Closed now", "flow_reject")


DAY_MS = 86_400_000


def days_end(world: World, number: str, before_s: int) -> bool:
    """Tell whether a call of at most a minute from a carrier, so long before midnight, may still be there then."""
    call = from_peer(number)
    midnight_ms = (call.received_ms // DAY_MS + 1) * DAY_MS
    call = call._replace(received_ms=midnight_ms - before_s * 1000)
    ends = world.route(call, limits=Limits(max_call_s=60)).call.part_at_ms
    assert ends in ((), (midnight_ms,))
    return bool(ends)


def test_the_days_that_a_call_may_end_in_are_those_it_may_ring_into() -> None:
    """Three members of 15 s each, not of the node's ringing time; a line that a forward leads to, of that."""
    world = world_of(GROUP._replace(policy="serial"))
    enrich(world)
    assert days_end(world, NUMBER, 100)
    assert not days_end(world, NUMBER, 200)
    world.change(keys.subscriber(BOB), forwards=(Forward(1, "always", keys.subscriber(ALICE)),))
    assert days_end(world, BOB_NUMBER, 150)
