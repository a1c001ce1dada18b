"""A call decided as a worker decides it, from the live tables, for somebody who only asks."""

from __future__ import annotations

from typing import Final

from kemi import keys
from kemi.adapters.redis_tables import Tables
from kemi.core.again import Again
from kemi.core.decide import decide
from kemi.core.outcome import Decision, Need
from kemi.core.proof import proof
from kemi.core.request import CallRequest, Facts
from kemi.records import Subscriber

ROUNDS_MAX: Final = 4  # a worker stops after two; who asks wants to see that more were needed
NOTHING_LEFT_OUT: Final = Again()


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
