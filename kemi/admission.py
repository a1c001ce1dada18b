"""May this call go? Decide, fetch, decide again, hold: the part of a worker that talks to Redis.

Rule 1: a warm call costs one round trip, the hold; a cold one at most three.
Rule 2: a Route leaves here held, or marked as one that goes without: an emergency, or while the store is down a call
for which an account of the caller has given its word (call.offline_id).
Rule 3: a refusal leaves here on what Redis has, like a Route: where nothing was fetched for it, one fetch confirms it.
Rule 4: who refuses a hold and is not the caller may be left out: a forwarder who cannot pay, a called line that has all
its calls. Then the call is decided again without him, as often as core.again allows.
It knows nothing of Kamailio.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from kemi import codec, keys
from kemi.adapters.cache import Counts
from kemi.adapters.redis_client import StoreUnavailable
from kemi.adapters.redis_funds import Held, Refused, Stale, Unarmed, Void
from kemi.adapters.redis_operations import reserve_id
from kemi.adapters.redis_tables import Tables
from kemi.adapters.zones import Zones
from kemi.core.again import Again, again, refused_hold, refused_place
from kemi.core.charges import FIRST_ANSWER_MAX_S
from kemi.core.decide import decide, decide_offline
from kemi.core.emergency import is_one_somewhere
from kemi.core.hunt import attempts_most
from kemi.core.measures import NO_QUARANTINE, Quarantine
from kemi.core.outcome import Decision, Hold, Need, Reject, Route
from kemi.core.reach import arranged
from kemi.core.refusals import reject
from kemi.core.request import UNCOUNTED, CallRequest, Facts
from kemi.settings import Settings

FETCHES_MAX: Final = 4  # who calls; where the call goes; where that leads to; and what has changed in between
HOLDS_MAX: Final = 2  # a hold on a stale decision is asked for once more
NOBODY: Final = Again()
STRANGERS_MS: Final = 10  # refusals of who is nobody's line or peer are confirmed no more often: Redis is not theirs
UNCONFIGURED: Final = frozenset(("method", "store_down"))  # refusals that no configuration could change


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


def no_place(_rid: str, _account_id: int, _most: int) -> bool:
    """Let nobody in: there is no shared memory to count calls in."""
    return False


def first_turn(_group_id: int) -> int:
    """Say that nobody took the group's turn before: there is no shared memory to count in."""
    return 0


class Seen(NamedTuple):
    """What the node's shared memory says about a request. Meaning as in Facts.

    newest_pass: version of the configuration that the node's agent last saw in Redis, 0 = not heard.
    count_nonce: counts this use of the nonce and says how often it came; asked at most once a request.
    let_in: gives a call, by its rid, one of so many places of an account for calls without a hold; says whether it did.
    take_turn: takes a group's turn on this node, and says how many calls of this node took it before.
    """

    nonce_uses: int = UNCOUNTED
    down_servers: frozenset[int] = frozenset()
    draining: bool = False
    newest_pass: int = 0
    quarantine: Quarantine = NO_QUARANTINE
    count_nonce: Callable[[], int] = int
    let_in: Callable[[str, int, int], bool] = no_place
    take_turn: Callable[[int], int] = first_turn


class Verdict(NamedTuple):
    """What may happen now. A Route without `held` goes without a hold: an emergency call, or one with an offline_id.

    maybe_held: Redis did not say whether it held. stale: how many decisions had to be made again. pinned: the call of
    a Route as Redis has it, packed; b"" = it was not asked.
    """

    decision: Decision
    held: Held | None = None
    maybe_held: bool = False
    stale: int = 0
    pinned: bytes = b""

    @property
    def held_micros(self) -> tuple[int, ...]:
        """What each fund of a Route holds: the row of the schedule that was granted."""
        granted_s = self.held.granted_s if self.held else 0
        rows = self.decision.hold.rows if isinstance(self.decision, Route) else ()
        return next((row.price_micros for row in rows if row.talk_s == granted_s), ())


class Admission:
    """One process's decisions about calls. Not shared between processes or threads.

    hold_ns: how long the hold of the last decision took.
    """

    hold_ns: int = 0

    def __init__(self, settings: Settings, client: Store, tables: Tables, funds: Money) -> None:
        self._settings = settings
        self._client = client
        self._tables = tables
        self._funds = funds
        self._zones = Zones()
        self._fetches = 0
        self._confirmed_ms = 0
        self._nonce_uses = UNCOUNTED
        self._listens = settings.listens

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

    def flush(self, *names: str) -> None:
        """Forget these records, without names all that is cached. What emergencies need stays while Redis is away."""
        if names:
            self._tables.forget(names)
        else:
            self._tables.flush()

    @property
    def cache(self) -> Counts:
        """How the cache of this process does."""
        return self._tables.counts

    @property
    def generation(self) -> int:
        """The version of the configuration that this process has seen."""
        return self._tables.seen_pass

    def is_emergency(self, dialled: str) -> bool:
        """Tell whether somebody may call for help by this; asked before anything is known of the caller."""
        return is_one_somewhere(self._tables.emergency, dialled)

    def admit(self, request: CallRequest, seen: Seen) -> Verdict:
        """Return the decision on an INVITE or REGISTER, and its hold."""
        self._tables.trim()
        self.hold_ns = 0
        self._nonce_uses = seen.nonce_uses
        stale, times, without = 0, 0, NOBODY
        while True:
            decision = self._decide_on_what_is_true(request, seen, without)
            if not isinstance(decision, Route):
                return Verdict(decision, stale=stale)
            asked_ns = time.perf_counter_ns()
            found = self._hold(decision, request, seen)
            self.hold_ns += time.perf_counter_ns() - asked_ns
            if isinstance(found, Verdict):
                return found._replace(stale=stale)
            if isinstance(found, Refused):
                reason = found.account_id, found.reason, found.fund
                more = again(decision, *reason, times)
                if more is None:
                    return Verdict(refused_hold(decision, *reason), stale=stale)
                times, without = times + 1, without.besides(more)
                continue
            stale += 1
            if stale == HOLDS_MAX:
                return Verdict(decision if decision.emergency else refused_hold(decision, 0, "stale"), stale=stale)

    def lease_s(self, route: Route) -> int:
        """Return how long a reservation may wait for an answer: all attempts, each silent first and then ringing.

        The grace comes on top.
        """
        return route.waits_s or (FIRST_ANSWER_MAX_S + route.ring_max_s) * attempts_most(route.targets)

    def _decide_on_what_is_true(self, request: CallRequest, seen: Seen, without: Again) -> Decision:
        """Return a decision that Redis has not contradicted when it is carried out.

        A Route learns at its hold what has changed; what refuses is never held, and would stand for ever in a worker
        that nobody else calls through. A challenge and a registration are as young as what the agent saw last.
        """
        fetched_before = self._fetches
        decision = self._decide(request, seen, without)
        if isinstance(decision, Route) or self._fetches > fetched_before:
            return decision
        if isinstance(decision, Reject):
            is_due, need = self._is_doubtful(decision, request.received_ms), _confirming(decision)
        else:
            is_due, need = seen.newest_pass > self._tables.seen_pass, Need(())
        before = self._tables.standing
        if not is_due or not self._fetch(need) or self._tables.standing == before:
            return decision
        return self._decide(request, seen, without)

    def _is_doubtful(self, refusal: Reject, now_ms: int) -> bool:
        """Tell whether Redis must confirm a refusal, and note that it does."""
        if refusal.reason in UNCONFIGURED or _is_of_source(refusal) or not self._client.available():
            return False
        is_stranger = refusal.call is None or not refusal.call.source
        if is_stranger and 0 <= now_ms - self._confirmed_ms < STRANGERS_MS:
            return False
        self._confirmed_ms = now_ms
        return True

    def _decide(self, request: CallRequest, seen: Seen, without: Again = NOBODY, *, store_up: bool = True) -> Decision:
        """Decide as often as something is needed that can be had. store_up False: nothing can, for Redis is down."""
        fetches = 0
        while True:
            facts, is_down = self._facts(seen), fetches <= FETCHES_MAX
            if store_up and without is NOBODY:  # as nearly always: words by their names cost more than some decisions
                outcome = decide(request, facts)
            elif store_up:
                outcome = decide(request, facts, **without._asdict())
            else:
                outcome = decide_offline(request, facts, is_down=is_down)
            if not isinstance(outcome, Need):
                return outcome
            if outcome.nonce_uses:
                self._nonce_uses = max(0, seen.count_nonce())
            else:
                store_up = fetches < FETCHES_MAX and self._fetch(outcome)
                fetches += 1

    def _fetch(self, need: Need) -> bool:
        """Fetch what is needed; tell whether Redis answered."""
        try:
            self._tables.fetch(need)
        except StoreUnavailable:
            return False
        self._fetches += 1
        return True

    def _facts(self, seen: Seen) -> Facts:
        return Facts(
            records=self._tables.records,
            rates=self._tables.rates,
            node=self._settings.node,
            secret=self._settings.secret,
            limits=self._settings.limits,
            emergency=self._tables.emergency,
            nonce_uses=self._nonce_uses,
            down_servers=seen.down_servers,
            store_up=self._client.available(),
            draining=seen.draining,
            config_pass=self._tables.seen_pass,
            zones=self._zones,
            listens=self._listens,
            quarantine=seen.quarantine,
        )

    def _hold(self, route: Route, request: CallRequest, seen: Seen) -> Verdict | Refused | None:
        """Return the verdict, or who refuses; None when the decision was made on what has changed since."""
        if not route.hold.funds:
            return Verdict(_arranged_here(route, seen))
        if route.call.offline_id:
            return self._let_in(route, seen)
        rid, pinned = route.call.rid, codec.pack(route.call)
        try:
            answer = self._funds.reserve(
                reserve_id(rid), rid, route.hold, self.lease_s(route), self._tables.seen_pass, pinned
            )
        except StoreUnavailable as error:
            if route.emergency:
                return Verdict(_arranged_here(route, seen), maybe_held=True)
            if route.call.offline_s and not error.maybe_applied:
                again = self._decide(request, seen, store_up=False)
                return self._hold(again, request, seen) if isinstance(again, Route) else Verdict(again)
            return Verdict(refused_hold(route, 0, "store_down"), maybe_held=True)
        return self._judge(route, answer, seen, pinned)

    def _let_in(self, route: Route, seen: Seen) -> Verdict:
        """Return the verdict on a call that goes without a hold, if its account has a place for it."""
        is_in = seen.let_in(route.call.rid, route.call.offline_id, route.places)
        return Verdict(_arranged_here(route, seen) if is_in else refused_place(route))

    def _judge(
        self, route: Route, answer: Held | Refused | Stale | Unarmed | Void, seen: Seen, pinned: bytes
    ) -> Verdict | Refused | None:
        if isinstance(answer, Stale):
            self._forget(answer)
            return None
        if isinstance(answer, Held | Refused):
            self._tables.invalidate(answer.changed, answer.config_pass)
        if isinstance(answer, Held) and answer.replayed:
            return Verdict(_merged(route))
        if isinstance(answer, Held):
            return Verdict(_arranged(route, answer, seen), answer, pinned=pinned)
        if route.emergency:
            return Verdict(_arranged_here(route, seen))
        if isinstance(answer, Refused):
            return answer
        return Verdict(refused_hold(route, 0, "unarmed" if isinstance(answer, Unarmed) else "void"))

    def _forget(self, stale: Stale) -> None:
        """Drop what has changed; no names at all mean that Redis cannot say, so everything."""
        if stale.changed:
            self._tables.invalidate(stale.changed, stale.config_pass)
        else:
            self._tables.clear()


def _arranged(route: Route, held: Held, seen: Seen) -> Route:
    """Return the route with its groups in the order that the store's answer gives them.

    A store of the release before tells nothing of others: then nobody counts as in a call, and turns are this node's.
    """
    if not route.turns:
        return route
    if len(held.turns) != len(route.hold.turns):
        return _arranged_here(route, seen)
    counts = dict(zip(route.hold.asks, held.counts, strict=False))
    return arranged(route, counts, dict(zip(route.hold.turns, held.turns, strict=True)))


def _arranged_here(route: Route, seen: Seen) -> Route:
    """Return the route in the order that this node alone can give its groups, while the store says nothing."""
    return arranged(route, {}, {group: seen.take_turn(group) for group in route.hold.turns}) if route.turns else route


def _confirming(refusal: Reject) -> Need:
    """Return what to ask so that all comes which a refusal was decided on and which has changed, with its rates.

    A node that drains refuses by the emergency table, before it reads anything.
    """
    call = refusal.call
    digits = f"{call.callee},{call.routing}" if call else ""
    return Need((), digits, held=(*refusal.used, keys.EMERGENCY))


def _is_of_source(refusal: Reject) -> bool:
    """Tell whether a source's quarantine refuses: it may be made against a flood, which Redis shall not see."""
    return refusal.reason == "quarantined" and not refusal.account_id


def _merged(route: Route) -> Reject:
    """Return the refusal of a request whose hold another request had got.

    No client repeats a hold and the transactions absorb retransmissions, so the same call came on a second path or with
    another branch (RFC 3261 §8.2.2.2). The hold, and the record of the call, are the first request's: no CDR here.
    """
    return reject("merged", (*route.trace, "held before: the same call came in another transaction"))
