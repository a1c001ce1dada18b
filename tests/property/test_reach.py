"""Laws of calls that are led on: whatever leads to whatever, they end, in a route that holds together or a refusal."""

from __future__ import annotations

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from kemi import keys
from kemi.core.again import ONE_BY_ONE_MAX, Again, again
from kemi.core.charges import STAGES_MAX_S
from kemi.core.decide import decide
from kemi.core.hunt import STOP, Next, Told, Try, after_failure, after_stage, begin
from kemi.core.outcome import IN, OUT, Challenge, Need, Reject, Route, Stage
from kemi.core.reach import arranged
from kemi.core.request import CallRequest
from kemi.core.staging import TARGETS_MAX
from kemi.records import Attempt
from tests.fakes.world import BOB_NUMBER, CAROL, ColdStore, World, from_peer, invite
from tests.property.people import LED, STOPS, chains, led_by, worlds

REFUSALS: Final = st.sampled_from(("credit", "channels", "channels_in", "channels_out"))
LAW: Final = settings(max_examples=100, deadline=None)
ROUNDS_MAX: Final = 5

calls = st.sampled_from(
    (
        invite(callee=LED),
        invite(CAROL, callee=LED),
        invite(CAROL, callee=BOB_NUMBER),
        invite(callee="201"),
        invite(callee="bob"),
        from_peer(LED),
        from_peer(BOB_NUMBER),
        from_peer(LED, diversion="<sip:1@x>;counter=4"),
    )
)
WHYS: Final = ("", "ring", "unreachable", "channels", "pdd", "branches")
statuses = st.sampled_from((0, 401, 404, 408, 480, 486, 487, 503, 600, 603, 607))


def staged(call: CallRequest, world: World) -> Route | None:
    """Return the route of a call that has stages, None of any other."""
    decision = world.decide(call)
    return decision if isinstance(decision, Route) and decision.stages else None


@LAW
@given(call=calls, world=worlds())
def test_every_graph_gives_a_route_or_a_refusal(call: CallRequest, world: World) -> None:
    """Circles included. What a route pays, pins and rings fits together."""
    decision = world.decide(call)
    assert isinstance(decision, Route | Reject | Challenge)
    if not isinstance(decision, Route):
        return
    route = decision
    assert route.targets
    assert route.call.targets == tuple(target.pinned for target in route.targets)
    assert len(route.hold.funds) <= 32
    assert len({fund.fund for fund in route.hold.funds}) == len(route.hold.funds)
    assert all(len(row.price_micros) == len(route.hold.funds) for row in route.hold.rows)
    paid = {leg.forward for leg in route.call.legs if leg.forward}
    over = {forward for target in route.call.targets for forward in target.forwards}
    assert paid == over, "each forward that is paid leads somewhere, and each that leads to a number is paid"
    levels = [leg.level for leg in route.call.legs]
    assert len(set(levels)) == len(levels)
    money = {fund.fund for fund in route.hold.funds if fund.level}
    assert money == {leg.fund for leg in route.call.legs}


@LAW
@given(call=calls, world=worlds())
def test_stages_lead_forward_and_end_in_time(call: CallRequest, world: World) -> None:
    """Every target stands in one stage; nobody waits longer than the bound."""
    route = staged(call, world)
    if route is None:
        return
    assert len(route.targets) <= TARGETS_MAX
    assert [at for stage in route.stages for at in stage.places] == list(range(len(route.targets)))
    for at, stage in enumerate(route.stages):
        assert all(
            each == -1 or at < each < len(route.stages) for each in (stage.busy, stage.no_answer, stage.unreachable)
        )
        assert bool(stage.size) == bool(stage.ring_s)
        assert stage.size or stage.status >= 400 or not stage.status
        assert not stage.together or all(route.targets[place].kind == "local" for place in stage.places)
    assert route.waits_s in range(1, STAGES_MAX_S + 1)
    for turn in route.turns:
        assert 0 <= turn.first_stage < turn.first_stage + turn.size <= len(route.stages)
        assert not turn.lines or len(turn.lines) == turn.size
        assert {fund for funds in turn.lines for fund in funds} <= set(route.hold.asks)
        assert turn.is_circular <= (turn.group_id in route.hold.turns)


@LAW
@given(call=calls, world=worlds(), data=st.data())
def test_any_cache_leads_to_the_same_decision(call: CallRequest, world: World, data: st.DataObject) -> None:
    """A cold node, and one with holes, decide as a warm one."""
    store = ColdStore(world)
    cold, _ = store.decide(call, ROUNDS_MAX)
    assert cold == world.decide(call)
    store.records = {
        name: record for name, record in store.records.items() if name == "masks" or data.draw(st.booleans())
    }
    partly, _ = store.decide(call, ROUNDS_MAX + 3)
    assert partly == cold


@LAW
@given(stops=chains, full=st.sampled_from((*STOPS, "")), carols=st.booleans())
def test_whoever_led_a_call_to_a_number_counts_it(stops: tuple[str, ...], full: str, carols: bool) -> None:
    """Bob leads it on to each of the stops, the last of which leads abroad: those with a limit count it, in order."""
    world = led_by(stops)
    funds = (keys.line_fund(2), *(STOPS[stop] for stop in stops if STOPS[stop]))
    call = invite(CAROL, callee=BOB_NUMBER) if carols else from_peer(BOB_NUMBER)
    route = world.decide(call)
    assert isinstance(route, Route)
    assert all(target.leads == (funds if target.forwards else ()) for target in route.call.targets)
    assert any(target.forwards for target in route.call.targets)
    assert tuple(fund.fund for fund in route.hold.funds if not fund.level) == funds
    assert all(fund.sides == OUT for fund in route.hold.funds if not fund.level)
    decision = decide(call, world.facts(), full=frozenset((STOPS[full],)) if full else frozenset())
    is_full = bool(full) and STOPS[full] in funds
    led = decision.call.legs if isinstance(decision, Route) else ()
    assert any(leg.forward for leg in led) is not is_full


@LAW
@given(call=calls, world=worlds(), data=st.data())
def test_what_a_refused_hold_leaves_out_is_left_out(call: CallRequest, world: World, data: st.DataObject) -> None:
    """Second decisions end: each has less to hold, and nothing of what refused before."""
    left_out = Again()
    for times in range(12):
        decision = decide(call, world.facts(), **left_out._asdict())
        if not isinstance(decision, Route):
            assert not isinstance(decision, Need)
            return
        leads = {fund for target in decision.call.targets for fund in target.leads}
        assert not any(leg.forward and leg.payer_id in left_out.without for leg in decision.call.legs)
        assert not left_out.busy & {fund.fund for fund in decision.hold.funds if fund.sides == IN}
        assert not left_out.full & leads
        assert leads <= {fund.fund for fund in decision.hold.funds if fund.sides & OUT and not fund.level}
        assert times <= ONE_BY_ONE_MAX or not any(leg.forward for leg in decision.call.legs)
        fund = data.draw(st.sampled_from(decision.hold.funds))
        further = again(decision, fund.account_id, data.draw(REFUSALS), fund.fund, times)
        if further is None:
            return
        assert left_out.besides(further) != left_out
        left_out = left_out.besides(further)
    raise AssertionError("it does not end")


@LAW
@given(call=calls, world=worlds(), data=st.data())
def test_whoever_is_in_a_call_is_passed_over_and_nobody_else(
    call: CallRequest, world: World, data: st.DataObject
) -> None:
    """The order of a group changes, its members do not; targets stay where they are pinned."""
    route = staged(call, world)
    if route is None:
        return
    counts = {fund: data.draw(st.integers(0, 2)) for fund in route.hold.asks}
    turns = {group_id: data.draw(st.integers(0, 9)) for group_id in route.hold.turns}
    after = arranged(route, counts, turns)
    assert after.targets == route.targets
    assert len(after.stages) == len(route.stages)
    for before, now in zip(route.stages, after.stages, strict=True):
        assert (now.busy, now.no_answer, now.unreachable) == (before.busy, before.no_answer, before.unreachable)
    assert sorted(at for stage in after.stages for at in range(stage.first, stage.first + stage.size)) == list(
        range(len(route.targets))
    )
    for turn in route.turns:
        rings_s = sum(stage.ring_s for stage in after.stages[turn.first_stage :][: turn.size] if stage.places)
        assert turn.size == 1 or rings_s <= turn.total_s
    asked = {place for stage in after.stages for place in stage.places}
    if not any(counts.values()) and not any(turn.total_s for turn in route.turns):
        assert asked == set(range(len(route.targets)))


@LAW
@given(call=calls, world=worlds(), data=st.data())
def test_a_call_goes_through_its_stages_and_ends(call: CallRequest, world: World, data: st.DataObject) -> None:
    """Whatever phones and carriers say: no stage twice, each by the edge of its word, and at the end one sentence."""
    route = staged(call, world)
    if route is None:
        return
    route = arranged(route, {fund: data.draw(st.integers(0, 1)) for fund in route.hold.asks}, {})
    step = begin(route.stages)
    seen: list[int] = []
    while isinstance(step, Next):
        at = step.stage
        assert not seen or at > seen[-1]
        seen.append(at)
        stage = route.stages[at]
        attempts, told = _asked(route, at, data)
        assert {each.place for each in attempts} <= set(stage.places)
        step = after_stage(route.stages, at, route.targets, attempts, told)
        assert step == _modelled(route.stages, at, attempts, told)
    assert 400 <= step.status <= 699
    assert step.phrase


def _modelled(stages: tuple[Stage, ...], at: int, attempts: tuple[Attempt, ...], told: Told | None) -> Next | Told:
    """Say in the plainest words what follows a stage."""
    heard = [each for each in attempts if each.why not in ("unreachable", "channels", "branches")]
    if told is None:
        declined = [each.status for each in heard if each.status >= 600]
        rang = [each for each in heard if each.why == "ring"]
        said = [each.status for each in heard if each.status in (404, 486)]
        status = (declined or [480] if declined or rang else [486] if 486 in said else said or [480])[0]
        told = Told(status, {404: "Not Found", 480: "Temporarily Unavailable"}.get(status, STOP.get(status, "")))
        word = "busy" if status in (486, 600, 603) else "no_answer" if rang and not declined else "unreachable"
    else:
        last = attempts[-1]
        is_busy = 486 in (last.status, told.status) or not {last.status, told.status}.isdisjoint((600, 603))
        is_rung_out = told.status == 480 and last.why == "ring"
        word = "busy" if is_busy else "no_answer" if is_rung_out else "unreachable"
    following = getattr(stages[at], word)
    while following >= 0:
        stage = stages[following]
        if stage.places:
            return Next(following)
        if stage.status:
            return Told(stage.status, stage.phrase, "flow_reject")
        told, following = Told(486, "Busy Here"), stage.busy
    return told


def _asked(route: Route, at: int, data: st.DataObject) -> tuple[tuple[Attempt, ...], Told | None]:
    """Return how a stage ends: its attempts, and of a hunt what is told."""
    stage = route.stages[at]

    def attempt(place: int) -> Attempt:
        server_id = route.targets[place].pinned.server_id
        return Attempt(server_id, data.draw(statuses), why=data.draw(st.sampled_from(WHYS)), place=place)

    if stage.together:
        return tuple(attempt(place) for place in stage.places), None
    targets = route.targets[stage.first : stage.first + stage.size]
    current, attempts = 0, [attempt(stage.first)]
    while isinstance(step := after_failure(targets, current, tuple(attempts)), Try):
        assert step.place > current
        current = step.place
        attempts.append(attempt(stage.first + current))
    return tuple(attempts), step
