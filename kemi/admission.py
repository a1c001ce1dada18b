"""May this call go? Decide, fetch, decide again, hold: the part of a worker that talks to Redis.

Rule 1: a warm call costs one round trip, the hold; a cold one at most three.
Rule 2: a Route leaves here held, or marked as an emergency that goes without.
It knows nothing of Kamailio.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple, Protocol

from kemi import codec
from kemi.adapters.redis_client import StoreUnavailable
from kemi.adapters.redis_funds import Held, Refused, Stale, Unarmed, Void
from kemi.adapters.redis_tables import Tables
from kemi.adapters.zones import Zones
from kemi.core.charges import FIRST_ANSWER_MAX_S
from kemi.core.decide import decide, decide_offline, refused_hold
from kemi.core.hunt import attempts_most
from kemi.core.outcome import Decision, Hold, Need, Reject, Route
from kemi.core.refusals import reject
from kemi.core.request import UNCOUNTED, CallRequest, Facts
from kemi.settings import Settings

FETCHES_MAX: Final = 3  # who calls; everything about where the call goes; and what has changed in between
HOLDS_MAX: Final = 2  # a hold on a stale decision is asked for once more


class Store(Protocol):
    """What a decision needs of redis_client.RedisClient."""

    round_trips: int

    def available(self) -> bool:
        """Tell whether a call would be tried now."""


class Money(Protocol):
    """What a decision needs of redis_funds.Funds."""

    def reserve(  # as there
        self, op_id: str, rid: str, hold: Hold, lease_s: int, seen_pass: int, pinned: bytes, /
    ) -> Held | Refused | Stale | Unarmed | Void:
        """Hold at every level, or nothing. Raises StoreUnavailable."""


class Seen(NamedTuple):
    """What the node's shared memory says about a request. Meaning as in Facts.

    newest_pass: version of the configuration that the node's agent last saw in Redis, 0 = not heard.
    count_nonce: counts this use of the nonce and says how often it came; asked at most once a request.
    """

    nonce_uses: int = UNCOUNTED
    down_servers: frozenset[int] = frozenset()
    draining: bool = False
    newest_pass: int = 0
    count_nonce: Callable[[], int] = int

    def counted(self) -> Seen:
        """Return the same with the use of the nonce counted."""
        return self._replace(nonce_uses=max(0, self.count_nonce())) if self.nonce_uses == UNCOUNTED else self


class Verdict(NamedTuple):
    """What may happen now. A Route without `held` is an emergency call that goes without a hold.

    maybe_held: Redis did not say whether it held. stale: how many decisions had to be made again.
    """

    decision: Decision
    held: Held | None = None
    maybe_held: bool = False
    stale: int = 0


class Admission:
    """One process's decisions about calls. Not shared between processes or threads."""

    def __init__(self, settings: Settings, client: Store, tables: Tables, funds: Money) -> None:
        self._settings = settings
        self._client = client
        self._tables = tables
        self._funds = funds
        self._zones = Zones()

    @property
    def round_trips(self) -> int:
        """How often this process has asked Redis."""
        return self._client.round_trips

    def load(self) -> None:
        """Fetch what must be known when Redis is dead. Without Redis, what is known already stays."""
        try:
            self._tables.load_pinned()
        except StoreUnavailable:
            return

    def admit(self, request: CallRequest, seen: Seen) -> Verdict:
        """Return the decision on an INVITE or REGISTER, and its hold."""
        seen = seen._replace(count_nonce=cache(seen.count_nonce))
        for stale in range(HOLDS_MAX):
            decision = self._decide_on_what_is_true(request, seen)
            if not isinstance(decision, Route):
                return Verdict(decision, stale=stale)
            verdict = self._hold(decision)
            if verdict is not None:
                return verdict._replace(stale=stale)
            last = decision
        return Verdict(last if last.emergency else refused_hold(last, 0, "stale"), stale=HOLDS_MAX)

    def lease_s(self, route: Route) -> int:
        """Return how long a reservation may wait for an answer: all attempts, each silent first and then ringing.

        The grace comes on top.
        """
        return (FIRST_ANSWER_MAX_S + route.ring_max_s) * attempts_most(route.targets)

    def _decide_on_what_is_true(self, request: CallRequest, seen: Seen) -> Decision:
        """Return a decision that no change older than a tenth of a second contradicts.

        A Route learns at its hold what has changed; what refuses or challenges is never held, and would stand for ever
        in a worker that nobody else calls through.
        """
        decision = self._decide(request, seen)
        if isinstance(decision, Route) or seen.newest_pass <= self._tables.seen_pass:
            return decision
        return self._decide(request, seen) if self._fetch(Need(())) else decision

    def _decide(self, request: CallRequest, seen: Seen) -> Decision:
        """Decide as often as something is needed that can be had.

        What is pinned is served on when it is old; a decision on it is made again as soon as the new is there.
        """
        fetches, store_up, is_renewed = 0, True, False
        while True:
            facts = self._facts(seen)
            outcome = decide(request, facts) if store_up else decide_offline(request, facts)
            if not isinstance(outcome, Need):
                if is_renewed or not (store_up and self._tables.refresh_due and self._fetch(Need(()))):
                    return outcome
                is_renewed = True
            elif outcome.nonce_uses:
                seen = seen.counted()
            else:
                store_up = fetches < FETCHES_MAX and self._fetch(outcome)
                fetches += 1

    def _fetch(self, need: Need) -> bool:
        """Fetch what is needed; tell whether Redis answered."""
        try:
            self._tables.fetch(need)
        except StoreUnavailable:
            return False
        return True

    def _facts(self, seen: Seen) -> Facts:
        return Facts(
            records=self._tables.records,
            rates=self._tables.rates,
            node=self._settings.node,
            secret=self._settings.secret,
            limits=self._settings.limits,
            emergency=self._tables.emergency,
            nonce_uses=seen.nonce_uses,
            down_servers=seen.down_servers,
            store_up=self._client.available(),
            draining=seen.draining,
            config_pass=self._tables.seen_pass,
            zones=self._zones,
        )

    def _hold(self, route: Route) -> Verdict | None:
        """Return the verdict, None when the decision was made on what has changed since."""
        if not route.hold.funds:
            return Verdict(route)
        rid = route.call.rid
        try:
            answer = self._funds.reserve(
                f"{rid}:0", rid, route.hold, self.lease_s(route), self._tables.seen_pass, codec.pack(route.call)
            )
        except StoreUnavailable:
            return Verdict(route if route.emergency else refused_hold(route, 0, "store_down"), maybe_held=True)
        return self._judge(route, answer)

    def _judge(self, route: Route, answer: Held | Refused | Stale | Unarmed | Void) -> Verdict | None:
        if isinstance(answer, Stale):
            self._forget(answer)
            return None
        if isinstance(answer, Held | Refused):
            self._tables.invalidate(answer.changed, answer.config_pass)
        if isinstance(answer, Held) and answer.replayed:
            return Verdict(_merged(route))
        if isinstance(answer, Held):
            return Verdict(route, answer)
        if route.emergency:
            return Verdict(route)
        if isinstance(answer, Refused):
            return Verdict(refused_hold(route, answer.account_id, answer.reason))
        return Verdict(refused_hold(route, 0, "unarmed" if isinstance(answer, Unarmed) else "void"))

    def _forget(self, stale: Stale) -> None:
        """Drop what has changed; no names at all mean that Redis cannot say, so everything."""
        if stale.changed:
            self._tables.invalidate(stale.changed, stale.config_pass)
        else:
            self._tables.clear()


def _merged(route: Route) -> Reject:
    """Return the refusal of a request whose hold another request had got.

    No client repeats a hold and the transactions absorb retransmissions, so the same call came on a second path or with
    another branch (RFC 3261 §8.2.2.2). The hold, and the record of the call, are the first request's: no CDR here.
    """
    return reject("merged", (*route.trace, "held before: the same call came in another transaction"))
