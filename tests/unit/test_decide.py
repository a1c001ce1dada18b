"""The steps of a decision, from request to hold."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.core.again import refused_hold
from kemi.core.decide import decide, decide_offline
from kemi.core.outcome import Challenge, Need, Register, Reject
from kemi.core.request import NOTHING_KNOWN, CallRequest, SipUri, reservation_id
from kemi.records import ReplyOverride, Subscriber
from kemi.settings import Limits
from tests.fakes.world import (
    ABROAD,
    ALICE,
    ALICE_NUMBER,
    BOB_NUMBER,
    CAROL_NUMBER,
    CUSTOMER,
    NEIGHBOUR,
    NOW_MS,
    PASSWORD,
    RESELLER,
    ROOT,
    TRUNK,
    ColdStore,
    World,
    crowd,
    from_peer,
    from_trunk,
    invite,
    register,
    request,
)


def test_an_outbound_call_is_pinned_whole() -> None:
    """All that extending, settling and explaining need later stands in the reservation."""
    call = invite()
    route = World().route(call, limits=Limits(max_call_s=600, ring_max_s=33))
    pinned = route.call
    assert pinned.rid == reservation_id(call)
    assert (pinned.call_id, pinned.from_tag, pinned.node, pinned.started_ms) == ("call-1", "tag-1", "n1", NOW_MS)
    assert (pinned.direction, pinned.source, pinned.account_id) == ("out", ALICE, 5)
    assert (pinned.caller, pinned.callee, pinned.max_s) == (ALICE_NUMBER, ABROAD, 600)
    assert pinned.targets == tuple(target.pinned for target in route.targets)
    assert (pinned.trace, pinned.config_pass, pinned.emergency) == (route.trace, 7, False)
    assert (route.ring_max_s, route.emergency) == (33, False)
    assert route.caller_uri == SipUri("sip", ALICE_NUMBER, "a.example")


@pytest.mark.parametrize(
    ("call", "direction", "source", "caller"),
    [
        (invite(), "out", ALICE, "sip:442070000001@a.example"),
        (from_trunk(), "out", TRUNK, "sip:442070000010@a.example"),
        (from_trunk(BOB_NUMBER), "internal", TRUNK, "sip:442070000010@a.example"),
        (from_peer(BOB_NUMBER), "in", "peer:acme", "sip:33199999999@carrier.example"),
    ],
)
def test_a_call_has_a_direction_and_a_source(call: CallRequest, direction: str, source: str, caller: str) -> None:
    """CDRs name both, and whose number it is after rewriting: one of ours in our domain, a peer's in its own."""
    route = World().route(call)
    assert (route.call.direction, route.call.source, str(route.caller_uri)) == (direction, source, caller)


def test_a_line_may_call_itself() -> None:
    """Its own number reaches its own phones: voice mail and second phones live on that."""
    assert World().route(invite(callee=ALICE_NUMBER)).targets[0].address_of_record == ALICE


@pytest.mark.parametrize("method", ["SUBSCRIBE", "MESSAGE", "", "invite"])
def test_other_methods_start_nothing(method: str) -> None:
    """They are refused, whether the store is up or not."""
    world = World()
    for store_up in (True, False):
        refusal = world.refusal(request(method), store_up=store_up)
        assert (refusal.reason, refusal.status, refusal.call) == ("method", 405, None)


def test_a_draining_node_takes_no_new_calls() -> None:
    """It does so before it asks for a password; registrations pass."""
    world = World()
    for call in (request(), invite(), from_peer()):
        refusal = world.refusal(call, draining=True)
        assert (refusal.reason, refusal.status, refusal.retry_after_s) == ("draining", 503, 5)
    assert isinstance(world.decide(register(), draining=True), Register)


def test_without_the_store_no_call_is_held() -> None:
    """503 with Retry-After at once, whatever is cached and whoever calls."""
    for call in (request(), invite(), from_peer(), from_trunk()):
        refusal = World().refusal(call, store_up=False)
        assert (refusal.reason, refusal.status, refusal.retry_after_s) == ("store_down", 503, 5)
        assert refusal.call is not None


def test_without_the_store_a_cached_line_may_register() -> None:
    """Nothing is held for a REGISTER; who is not cached has to come again."""
    world = World()
    assert isinstance(world.decide(register(), store_up=False), Register)
    refusal = world.refusal(register(), store_up=False, records={})
    assert (refusal.reason, refusal.retry_after_s) == ("store_down", 5)
    assert refusal.trace[-1] == "dom:a.example is not cached"


def test_a_fetch_that_brings_nothing_ends_in_a_refusal() -> None:
    """`decide_offline` answers for a worker that has fetched often enough; it never asks again."""
    decision = decide_offline(invite(), World().facts(records={}, rates={}))
    assert isinstance(decision, Reject)
    assert decision.reason == "store_down"
    assert isinstance(decide_offline(register(), NOTHING_KNOWN), Reject)


def test_the_first_need_is_about_who_calls() -> None:
    """Sources of the address, the line of the From and its domain; without masks all that they could lead to.

    And the emergency numbers, which are pinned like the masks: one that is old comes with the rest.
    """
    world = World()
    pinned = {name: world.records[name] for name in (keys.MASKS, keys.EMERGENCY)}
    need = decide(invite(), world.facts(records=pinned))
    assert isinstance(need, Need)
    assert set(need.keys) == {"src:192.0.2.1/32", "src:192.0.2.0/24", f"sub:{ALICE}", "dom:a.example"}
    need = decide(invite(), world.facts(records={}))
    assert isinstance(need, Need)
    names = set(need.keys)
    others = {name for name in names if not name.startswith("src:")}
    assert others == {"masks", "emergency", f"sub:{ALICE}", "dom:a.example"}
    assert len(names) == len(others) + 33


def test_the_second_need_is_about_where_to() -> None:
    """The number, the chain's tariffs for its rates, and the rules of all its prefixes of who owns carriers there.

    While the lengths of ported numbers are unknown, that is every beginning that might be one.
    """
    world = World()
    store = ColdStore(world)
    first = decide(invite(), world.facts(records=store.records, rates=store.rates))
    assert isinstance(first, Need)
    store.fetch(first)
    second = decide(invite(), world.facts(records=store.records, rates=store.rates))
    assert isinstance(second, Need)
    assert second.digits == ABROAD
    prefixes = [ABROAD[:length] for length in range(len(ABROAD) + 1)]
    rules = {f"rules:{owner_id}:{prefix}" for owner_id in (RESELLER, ROOT) for prefix in prefixes}
    ported = {f"lnp:{prefix}" for prefix in prefixes if prefix} | {"lnplens"}
    where = {f"num:{ABROAD}", "fx", "tar:50", "tar:30", "tar:20", f"dest:{ABROAD[:2]}"}
    assert set(second.keys) == where | rules | ported


def test_other_tenants_carriers_cost_a_call_nothing() -> None:
    """With 300 resellers that have carriers of their own for all numbers, a cold call fetches what it did without."""
    world = World()
    alone, crowded = ColdStore(world), ColdStore(world)
    expected = alone.decide(invite(), rounds_max=2)
    crowd(world, 300)
    assert crowded.decide(invite(), rounds_max=2) == expected
    assert crowded.records == alone.records


@pytest.mark.parametrize(
    ("call", "rounds"),
    [
        (invite(), 2),
        (invite(callee=BOB_NUMBER), 2),
        (from_trunk(), 2),
        (from_peer(), 2),
        (invite(callee="112"), 2),
        (register(), 1),
        (request(), 1),
        (request(caller="x@nowhere.example"), 1),
    ],
)
def test_a_cold_cache_costs_two_fetches(call: CallRequest, rounds: int) -> None:
    """And leads to the decision of a warm one."""
    world = World()
    assert ColdStore(world).decide(call, rounds_max=2) == (world.decide(call), rounds)


@pytest.mark.parametrize(
    ("word", "reason", "status"),
    [
        ("credit", "no_credit", 402),
        ("channels", "channels", 403),
        ("cps", "cps", 503),
        ("spend", "spend", 403),
        ("spend_day", "spend_day", 403),
        ("spend_month", "spend_month", 403),
        ("channels_out", "channels_out", 403),
        ("status", "suspended", 403),
    ],
)
def test_a_refused_hold_names_the_level(word: str, reason: str, status: int) -> None:
    """A dealer two levels up without credit stops a rich customer, and the refusal says so."""
    refusal = refused_hold(World().route(invite()), 3, word)
    assert (refusal.reason, refusal.status, refusal.account_id) == (reason, status, 3)
    assert refusal.trace[-1] == f"hold refused by level 2 account 3: {word}"
    assert refusal.call is not None
    assert refusal.call.trace == refusal.trace
    assert refusal.call.legs


@pytest.mark.parametrize(
    ("word", "reason", "status"),
    [("full", "full", 503), ("void", "cancelled", 487), ("unarmed", "unarmed", 503), ("store_down", "store_down", 503)],
)
@pytest.mark.parametrize("call", [invite(), from_peer()])
def test_a_refusal_of_the_store_blames_nobody(word: str, reason: str, status: int, call: CallRequest) -> None:
    """It is told alike to everybody."""
    refusal = refused_hold(World().route(call), 0, word)
    assert (refusal.reason, refusal.status, refusal.account_id) == (reason, status, 0)
    assert refusal.trace[-1] == f"hold refused by the store: {word}"


@pytest.mark.parametrize(
    ("word", "reason", "status"),
    [
        ("channels", "called_busy", 486),
        ("channels_in", "called_busy", 486),
        ("cps", "called_busy", 486),
        ("spend_day", "called_unavailable", 480),
        ("status", "called_suspended", 480),
        ("credit", "called_unavailable", 480),
        ("spend", "called_unavailable", 480),
    ],
)
def test_a_carrier_learns_nothing_of_a_called_tenant(word: str, reason: str, status: int) -> None:
    """All lines busy is busy; money is nobody's business outside. The trace keeps the truth."""
    refusal = refused_hold(World().route(from_peer()), 5, word)
    assert (refusal.reason, refusal.status, refusal.account_id) == (reason, status, 5)
    assert refusal.trace[-1] == f"hold refused by level 1 account 5: {word}"


@pytest.mark.parametrize(
    ("account_id", "reason", "status"),
    [(NEIGHBOUR, "called_busy", 486), (CUSTOMER, "channels_in", 403), (RESELLER, "channels_in", 403)],
)
def test_a_caller_learns_of_his_own_levels_only(account_id: int, reason: str, status: int) -> None:
    """Between two customers: who stands above the called alone is told as busy, a shared ancestor by its reason."""
    refusal = refused_hold(World().route(invite(callee=CAROL_NUMBER)), account_id, "channels_in")
    assert (refusal.reason, refusal.status, refusal.account_id) == (reason, status, account_id)


def test_a_tenants_own_answer_outlives_the_decision() -> None:
    """Also a refusal at the hold is told in the tenant's words."""
    world = World()
    world.change("acct:3", replies=(ReplyOverride("no_credit", 480, "Please Top Up"),))
    refusal = refused_hold(world.route(invite()), 5, "credit")
    assert (refusal.status, refusal.phrase) == (480, "Please Top Up")


def test_no_decision_tells_a_secret() -> None:
    """Neither hashes, nor responses, nor the cell's secret stand in what is logged and kept."""
    world = World()
    call = invite()
    decisions = (world.decide(call), world.decide(request()), world.decide(call, nonce_uses=2))
    assert isinstance(decisions[1], Challenge)
    text = " ".join(sentence for decision in decisions for sentence in decision.trace)
    assert call.credentials is not None
    line = world.records[f"sub:{ALICE}"]
    assert isinstance(line, Subscriber)
    for secret in (call.credentials.response, call.credentials.nonce, line.ha1_md5, line.ha1_sha256, PASSWORD):
        assert secret not in text
