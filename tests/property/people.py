"""Random worlds of users, groups, callflows and forwards that lead to each other as they please."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from kemi import keys
from kemi.records import (
    Callflow,
    Extension,
    Forward,
    MediaServer,
    Member,
    Number,
    RingGroup,
    Step,
    Subscriber,
    TimeSet,
    TrunkPlace,
    User,
)
from tests.fakes.world import ABROAD, ALICE, BOB, CAROL, CAROL_NUMBER, CUSTOMER, NEIGHBOUR, World

IDS: Final = (1, 2, 3)
LED: Final = "442070000500"  # a number of the customer that leads to whatever is drawn
LINES: Final = (ALICE, BOB, CAROL)
DESTINATIONS: Final = (
    *map(keys.subscriber, (*LINES, "nobody@a.example")),
    *(key(each) for key in (keys.user, keys.ring_group, keys.callflow) for each in (*IDS, 9)),
    *(keys.number(digits) for digits in (LED, CAROL_NUMBER, ABROAD, "49301234567", "112", "1", "x")),
    *(keys.extension(CUSTOMER, dialled) for dialled in ("201", "202", "209")),
    *("media:1", "media:9", "", "moon:1", "user:", "grp:x", "flow:99999999999999999999", "num:", "ext:", ":", "sub:"),
)

STOPS: Final = {
    keys.subscriber(ALICE): keys.line_fund(1),
    keys.user(1): keys.user_fund(1),
    keys.user(2): "",
    keys.ring_group(1): "",
    keys.callflow(1): "",
    keys.number(LED): "",
    keys.extension(CUSTOMER, "201"): "",
}
"""What a call may be led over, and what counts the calls of each; "" = nothing does."""

destinations = st.sampled_from(DESTINATIONS)
chains = st.lists(st.sampled_from(tuple(STOPS)), unique=True, max_size=4).map(tuple)
seconds = st.sampled_from((0, 0, 1, 5, 20, 120, 5_000, -1))
time_sets = st.sampled_from((0, 0, 0, 7, 8))
callers = st.sampled_from(((), (), ("4420*",), ("anonymous",), ("[",)))
people = st.sampled_from((*map(keys.subscriber, LINES), keys.user(1), keys.user(2), "user:9", "sub:", "x"))
forwards = st.builds(
    Forward,
    id=st.integers(1, 99),
    kind=st.sampled_from(("always", "busy", "no_answer", "timeout", "unreachable", "odd")),
    to=destinations,
    to_user=st.sampled_from(("", "box")),
    after_s=seconds,
    time_set_id=time_sets,
    callers=callers,
)
several = st.lists(forwards, max_size=4).map(tuple)
members = st.builds(Member, people, seconds)
steps = st.builds(
    Step,
    kind=st.sampled_from(("ring", "ring", "forward", "flow", "media", "reject", "time", "caller", "odd")),
    to=destinations,
    to_user=st.sampled_from(("", "box")),
    ring_s=seconds,
    time_set_id=time_sets,
    callers=callers,
    otherwise=st.integers(-1, 5),
    status=st.sampled_from((0, 200, 302, 486, 603, 700)),
    phrase=st.sampled_from(("", "Not today", "\n")),
)
places = st.lists(
    st.builds(TrunkPlace, st.integers(1, 9), st.sampled_from(("203.0.113.80", "2001:db8::8", ""))), max_size=3
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a world in which everything may lead to everything, itself included."""
    world = World()
    for name in LINES:
        line: Any = world.records[keys.subscriber(name)]
        world.put(keys.subscriber(name), draw(_lines(line)))
    for each in IDS:
        account_id = draw(st.sampled_from((CUSTOMER, CUSTOMER, NEIGHBOUR, 99)))
        lines = tuple(draw(st.lists(st.sampled_from((*LINES, "nobody@a.example")), max_size=3)))
        world.put(keys.user(each), draw(_users(each, account_id, lines)))
        world.put(keys.ring_group(each), draw(_groups(each, account_id)))
        flow = Callflow(each, account_id, f"flow {each}", tuple(draw(st.lists(steps, max_size=4))))
        world.put(keys.callflow(each), flow)
    world.put(keys.media_server(1), MediaServer(1, CUSTOMER, "ivr", draw(st.sampled_from(("203.0.113.90", "")))))
    for dialled in ("201", "202"):
        world.put(keys.extension(CUSTOMER, dialled), Extension(CUSTOMER, dialled, draw(destinations), "box"))
    world.put(keys.time_set(7), TimeSet(7, "always", "UTC"))
    world.put(keys.number(LED), Number(LED, CUSTOMER, draw(st.sampled_from((0, 0, 0, 1, 2))), "", draw(destinations)))
    return world


def led_by(stops: tuple[str, ...]) -> World:
    """Return a world in which bob, whose calls are counted, leads all to the first stop, and the last one abroad."""
    world = World()
    first, *nexts = (*stops, keys.number(ABROAD))
    world.change(keys.subscriber(BOB), forwards=(Forward(1, "always", first),), counted=(keys.line_fund(2),))
    for n, (stop, to) in enumerate(zip(stops, nexts, strict=True), 2):
        forwards, fund = (Forward(n, "always", to),), STOPS[stop]
        match stop.partition(":")[::2]:
            case "sub", _:
                world.change(stop, forwards=forwards, counted=(fund,))
            case "user", each:
                world.put(stop, User(int(each), CUSTOMER, "eva", 0, (), forwards=forwards, calls_max=2 if fund else 0))
            case "grp", each:
                world.put(stop, RingGroup(int(each), CUSTOMER, "sales", "serial", (), overflow=to))
            case "flow", each:
                world.put(stop, Callflow(int(each), CUSTOMER, "main", (Step("forward", to),)))
            case "num", digits:
                world.put(stop, Number(digits, CUSTOMER, 0, "", to))
            case _:
                world.put(stop, Extension(CUSTOMER, "201", to))
    return world


def _lines(line: Subscriber) -> st.SearchStrategy[Subscriber]:
    return st.builds(
        line._replace,
        status=st.sampled_from((0, 0, 0, 1, 2)),
        lock=st.sampled_from((0, 0, 0, 1, 3)),
        kind=st.sampled_from(("line", "line", "pilot", "trunk", "ip_trunk")),
        dnd=st.booleans(),
        forwards=several,
        ring_s=seconds,
        did_in=st.sampled_from(("ruri", "to")),
        places=places.map(tuple),
        counted=st.sampled_from(((), (), (keys.line_fund(line.id),), (keys.line_fund(line.id), keys.user_fund(1)))),
        blocked_in=st.sampled_from(((), (), ("4420*",))),
        barring_id=st.sampled_from((0, 0, 4)),
    )


def _users(user_id: int, account_id: int, lines: tuple[str, ...]) -> st.SearchStrategy[User]:
    return st.builds(
        User,
        id=st.just(user_id),
        account_id=st.just(account_id),
        name=st.just("eva"),
        status=st.sampled_from((0, 0, 0, 1)),
        lines=st.just(lines),
        dnd=st.booleans(),
        ring_s=seconds,
        forwards=several,
        calls_max=st.sampled_from((0, 0, 2)),
    )


def _groups(group_id: int, account_id: int) -> st.SearchStrategy[RingGroup]:
    return st.builds(
        RingGroup,
        id=st.just(group_id),
        account_id=st.just(account_id),
        name=st.just("sales"),
        policy=st.sampled_from(("parallel", "serial", "random", "circular", "odd")),
        members=st.lists(members, max_size=5).map(tuple),
        member_s=seconds,
        total_s=seconds,
        skip_busy=st.booleans(),
        overflow=destinations,
        overflow_user=st.sampled_from(("", "box")),
    )
