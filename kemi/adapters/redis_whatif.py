"""A call decided as a worker decides it, from the live tables, for somebody who only asks."""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_purses import Purse, purses, short
from kemi.adapters.redis_tables import Tables
from kemi.core.again import ONE_BY_ONE_MAX, Again, again, refused_hold
from kemi.core.decide import decide
from kemi.core.outcome import Decision, Need, Route
from kemi.core.proof import proof
from kemi.core.request import CallRequest, Facts
from kemi.records import Subscriber

TRIES_MAX: Final = ONE_BY_ONE_MAX + 2  # decisions, each without what the hold of the one before would be refused for
ROUNDS_MAX: Final = 4  # a worker stops after two; who asks wants to see that more were needed
NOTHING_LEFT_OUT: Final = Again()


class Foreseen(NamedTuple):
    """What would become of a call. decision: a refusal where the hold of `route` would be refused as funds stand now.

    route: None where the call is refused before. purses: what the funds of its hold have. rounds: fetches that it took.
    """

    decision: Decision | Need
    route: Route | None
    purses: tuple[Purse, ...]
    rounds: int


def proven(tables: Tables, call: CallRequest, line: str, secret: bytes) -> CallRequest:
    """Return the call with the proof that its line would send, as far as there is one. line: `user@domain`."""
    name = keys.subscriber(line)
    tables.fetch(Need((name,)))
    found = tables.records.get(name)
    return call._replace(credentials=proof(found, call, secret) if isinstance(found, Subscriber) else None)


def decided(
    tables: Tables, call: CallRequest, base: Facts, left_out: Again = NOTHING_LEFT_OUT
) -> tuple[Decision | Need, int]:
    """Return the decision, and how many fetches it took; a Need where what it names cannot be had.

    base: the facts that are in no table. left_out: since a hold would be refused for it. Raises StoreUnavailable.
    """
    rounds = 0
    while True:
        facts = base._replace(
            records=tables.records, rates=tables.rates, emergency=tables.emergency, config_pass=tables.seen_pass
        )
        decision = decide(call, facts, **left_out._asdict())
        if not isinstance(decision, Need) or rounds == ROUNDS_MAX:
            return decision, rounds
        tables.fetch(decision)
        rounds += 1


def foreseen(client: RedisClient, tables: Tables, call: CallRequest, base: Facts) -> Foreseen:
    """Decide a call as `decided` does, and again without who could not pay beside the caller, as a worker would.

    Nothing is held. Raises StoreUnavailable.
    """
    left_out, rounds, times = NOTHING_LEFT_OUT, 0, 0
    while True:
        decision, fetches = decided(tables, call, base, left_out)
        rounds += fetches
        if not isinstance(decision, Route):
            return Foreseen(decision, None, (), rounds)
        has = purses(client, decision.call, decision.hold.funds)
        lacking = None if decision.emergency else short(decision, has)
        if lacking is None:
            return Foreseen(decision, decision, has, rounds)
        further, times = again(decision, *lacking, times), times + 1
        if further is None or times == TRIES_MAX:
            return Foreseen(refused_hold(decision, *lacking), decision, has, rounds)
        left_out = left_out.besides(further)
