"""What a call costs at each level, by the configuration in Redis; chains and prices as nobody sane has them.

Prices change within a minute here, money is exchanged, chains share ancestors: the rules are those of core/rating.py.
"""

from __future__ import annotations

import random
from collections.abc import Set as AbstractSet
from types import SimpleNamespace
from typing import Final, NamedTuple, cast

from kemi import keys
from kemi.adapters.redis_tables import Tables
from kemi.core import charges
from kemi.core.draft import Draft
from kemi.core.outcome import IN, OUT, Hold, HoldFund, HoldRow, Need
from kemi.records import Account, Band, Exchange, PinnedCall, PinnedLeg, PinnedTarget, Rate, RateSet, Tariff
from kemi.settings import Limits
from tests.fakes import calls as builders
from tests.simulation.configuration import COUNTERS, CURRENCY, CUSTOMERS, ROOT

LIMITS: Final = Limits(max_call_s=400, slice_s=30, ring_max_s=60, attempts_max=1, part_s=20)
BAD: Final = 0.01  # share of holds that no worker of this release would ask for
BAD_ROWS: Final = ((0, 5), (60, -1), (60, 2**53), (60, 1.5), (2**53, 1))
FREE_SHARE: Final = 0.1
CHAINS: Final = ((1, 0), (1, 0), (1, 1), (0, 1), (2, 0), (2, 1))  # of caller and forwarder; of the called number
FORWARDS: Final = (0, 0, 1, 2)  # of calls while all nodes know of forwards
GROUPS: Final = (1, 2)  # whose turns calls take
PHONE: Final = PinnedTarget(0, 0, "phone")
BANDS_S: Final = ((), (), (5, 40), (70,), (100, 200))  # when prices change, from the INVITE on

Legs = tuple[PinnedLeg, ...]


class Asked(NamedTuple):
    """A call and what it has to hold. is_spoiled: so that every Redis must refuse it as a whole."""

    call: PinnedCall
    hold: Hold
    is_spoiled: bool


class Pinner:
    """Prices calls for the worker of one node.

    tables: its cache. pins: calls that were asked for, at any node. first_nodes: who runs the first release, which knew
    one price at all times, in the currency of the fund, rounded up.
    """

    def __init__(
        self, rng: random.Random, tables: Tables, node: str, first_nodes: AbstractSet[str], pins: dict[str, Asked]
    ) -> None:
        self._rng = rng
        self._tables = tables
        self._node = node
        self._first_nodes = first_nodes
        self._pins = pins

    def asked(self, rid: str, now_ms: int) -> Asked | None:
        """Return a call that begins now, fetching what is not cached; None where Redis lacks something, or too dear.

        An INVITE that came before, by another path, is the same call.
        """
        known = self._pins.get(rid)
        if known is not None:
            return known
        used: dict[str, None] = {}
        out_chains, in_chains = self._rng.choice(CHAINS)
        out, in_ = self._legs(out_chains, 0, now_ms, used), self._legs(in_chains, 100, now_ms, used)
        forwarded = self._forwarded(now_ms, used)
        if out is None or in_ is None or forwarded is None:
            return None
        targets = self._targets(max((leg.forward for leg in forwarded), default=0))
        call = builders.call(rid, (*out, *in_, *forwarded), targets)
        call = call._replace(node=self._node, started_ms=now_ms, max_s=LIMITS.max_call_s)
        draft = SimpleNamespace(
            facts=SimpleNamespace(limits=LIMITS),
            known=SimpleNamespace(used=tuple(used)),
            call=SimpleNamespace(received_ms=now_ms),
        )
        further = self._further(forwarded, targets)
        hold = charges.hold_for(cast("Draft", draft), out, in_, LIMITS.attempts_max, further)
        if not hold.rows:
            return None
        if self._rng.random() < BAD:
            return Asked(call, self._spoiled(hold), is_spoiled=True)
        self._pins[rid] = Asked(call, hold, is_spoiled=False)
        return self._pins[rid]

    def _forwarded(self, now_ms: int, used: dict[str, None]) -> Legs | None:
        """Return the legs of the call's forwards, None where Redis lacks something."""
        found: list[PinnedLeg] = []
        for forward in range(1, 1 + (0 if self._first_nodes else self._rng.choice(FORWARDS))):
            legs = self._legs(1, 100 + 100 * forward, now_ms, used)
            if legs is None:
                return None
            found += [leg._replace(forward=forward) for leg in legs]
        return tuple(found)

    def _targets(self, forwards: int) -> tuple[PinnedTarget, ...]:
        """Return where a call may be answered: a phone, and carriers behind each of the forwards, and behind both."""
        first = builders.carrier(1, ROOT), builders.carrier(2, ROOT)
        if self._first_nodes:
            return first
        behind = ((1,), (2,), (1, 2))[: 2 * forwards - 1] if forwards else ()
        leaders = {forward: self._some(1) for forward in range(1, forwards + 1)}
        forwarded = [
            builders.carrier(2, ROOT)._replace(
                forwards=each, leads=tuple(dict.fromkeys(fund for forward in each for fund in leaders[forward]))
            )
            for each in behind
        ]
        return (PHONE._replace(joins=self._some(3)), *first, PHONE._replace(joins=self._some(2)), *forwarded)

    def _further(self, forwarded: Legs, targets: tuple[PinnedTarget, ...]) -> charges.Further:
        """Return what a call holds and asks beside its own legs."""
        if self._first_nodes:
            return charges.NOTHING
        rng = self._rng
        counted = tuple(HoldFund(fund, 9, 0, rng.choice((OUT, IN, OUT | IN))) for fund in self._some(2))
        leads = dict.fromkeys(fund for target in targets for fund in target.leads)
        counted = (*counted, *(HoldFund(fund, 9, 0, OUT) for fund in leads))
        turns = tuple(rng.sample(GROUPS, rng.choice((0, 0, 1, 2))))
        return charges.Further(forwarded, (), counted, targets, 0, self._some(2), turns)

    def _some(self, most: int) -> tuple[str, ...]:
        return tuple(self._rng.sample(COUNTERS, self._rng.randrange(most + 1)))

    def _legs(self, chains: int, above: int, now_ms: int, used: dict[str, None]) -> Legs | None:
        """Return the legs of so many chains, numbered from `above` on."""
        legs: list[PinnedLeg] = []
        for _ in range(chains):
            account_id = self._rng.choice(CUSTOMERS)
            while account_id != ROOT:
                account = self._known(keys.account(account_id), used)
                leg = self._leg(account, above + len(legs) + 1, now_ms, used) if isinstance(account, Account) else None
                if leg is None:
                    return None
                legs.append(leg)
                account_id = leg.payee_id
        return tuple(legs)

    def _leg(self, account: Account, level: int, now_ms: int, used: dict[str, None]) -> PinnedLeg | None:
        tariff = self._known(keys.tariff(account.id), used)
        rates = self._known(keys.rate_set(tariff.rate_set_id), used) if isinstance(tariff, Tariff) else None
        exchange = self._known(keys.EXCHANGE, used)
        if not isinstance(tariff, Tariff) or not isinstance(rates, RateSet) or not isinstance(exchange, Exchange):
            return None
        is_free = self._rng.random() < FREE_SHARE
        rate = charges.FREE if is_free else rates.rates[0]
        nanos = {each.base: each.nanos for each in exchange.rates}
        made = builders.leg(level, account.id, account.parent_id, rate)
        if self._node in self._first_nodes:
            return made
        return made._replace(
            currency=tariff.currency,
            tariff_id=tariff.id,
            rate_set_id=rates.id,
            bands=() if is_free else self._bands(rate, now_ms),
            rounding=tariff.rounding,
            round_to_micros=tariff.round_to_micros,
            exchange_nanos=nanos[tariff.currency] if tariff.currency != CURRENCY else 0,
        )

    def _bands(self, rate: Rate, now_ms: int) -> tuple[Band, ...]:
        """Return other prices at other times, or none."""
        rng = self._rng
        ends = rng.choice(BANDS_S)
        bands = [Band(now_ms + end_s * 1000, rate.per_min_micros, rate.connect_micros) for end_s in ends]
        prices = (rate.per_min_micros, rate.per_min_micros // 3, 0)
        others = tuple(band._replace(per_min_micros=rng.choice(prices)) for band in bands[1:])
        return (*bands[:1], *others, Band(0, rate.per_min_micros // 2, rate.connect_micros)) if bands else ()

    def _spoiled(self, hold: Hold) -> Hold:
        """Return the hold with something that must be refused as a whole."""
        rng = self._rng
        if rng.random() < 0.5:
            rows = tuple(HoldRow(row.talk_s, row.price_micros * 2) for row in hold.rows)
            return hold._replace(funds=hold.funds * 2, rows=rows)
        talk_s, price = rng.choice(BAD_ROWS)
        prices = cast("tuple[int, ...]", (price,) * len(hold.funds))
        return hold._replace(rows=(*hold.rows[:2], HoldRow(talk_s, prices)))

    def _known(self, name: str, used: dict[str, None]) -> object:
        used[name] = None
        if name not in self._tables.records:
            self._tables.fetch(Need((name,)))
        return self._tables.records.get(name)
