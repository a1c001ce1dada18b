"""What each level pays for a call, and what has to be held for it.

Rule 1: at every level the account pays its own tariff to its parent. For a call to a carrier a level that has no rate
refuses, for nobody would pay its part; so does one whose rate is forbidden.
Rule 2: what is free has the same legs at price 0: it takes channels and writes CDRs too. Calls between lines of ours
are free unless a caller's tariff says otherwise, calls to a number of ours unless its owner's tariff does.
Rule 3: a leg pins what its price depends on: the rate set in force when the call begins, when its prices change until
the call must be over, and the exchange rate where the account's money is in another currency.
Rule 4: a fund stands in a hold once, however many legs it pays.
Rule 5: whoever calls a line with a forward that costs lets money be held that is not his, for as long as it rings. So
the first slice of such a call is short; once it is answered, extensions are as long as any.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from typing import Final, NamedTuple

from kemi import keys
from kemi.core.amounts import per_minute
from kemi.core.chains import Chain
from kemi.core.draft import Draft
from kemi.core.exchange import amount, nanos_for
from kemi.core.hunt import REDIRECTS_MAX
from kemi.core.kept import KeptWith
from kemi.core.outcome import IN, OUT, Hold, HoldFund, Reject
from kemi.core.periods import bands, midnights
from kemi.core.rating import alternatives, by_fund, worst_schedule
from kemi.core.request import E164
from kemi.records import Account, Band, PeeringGroup, PinnedLeg, PinnedTarget, Rate, RateSet, Tariff

FREE: Final = Rate(per_min_micros=0)
FIRST_ANSWER_MAX_S: Final = 3  # a server that says nothing is left sooner (ksr_times.FIRST_ANSWER_MS)
BANDS_TOLD: Final = 4  # of a price that changes, the one now and the next three: a sentence is short
STAGES_MAX_S: Final = 300  # of all that ring one after the other: who calls has hung up by then
STAGES_MAX: Final = 10  # times the node's ringing time, likewise
LED_SLICE_S: Final = 20  # held first for a call that a forward may lead to a price: strangers let it ring on its money
LEGS_KEPT: Final = 8_192  # of which it is kept what they pin, per process, < 1 kB each
ANSWER_SLACK_S: Final = 5  # timers of Kamailio tick, and the node's clock may be set meanwhile

Legs = tuple[PinnedLeg, ...]


class Further(NamedTuple):
    """What a call holds besides its own legs.

    out_legs, in_legs: of its forwards, each with its number. counted: funds without money, of lines and users. targets:
    where it may be answered, which says what of its forwards excludes what. waits_s: how long it may go unanswered, 0 =
    by its attempts. asks, turns: as in Hold.
    """

    out_legs: Legs = ()
    in_legs: Legs = ()
    counted: tuple[HoldFund, ...] = ()
    targets: tuple[PinnedTarget, ...] = ()
    waits_s: int = 0
    asks: tuple[str, ...] = ()
    turns: tuple[int, ...] = ()


NOTHING: Final = Further()


class Tariffed(NamedTuple):
    """The rate that a tariff has for a number, the prefix that it stands under, and when its prices change."""

    tariff: Tariff
    rate_set_id: int
    prefix: str
    rate: Rate
    bands: tuple[Band, ...]


class Payer(NamedTuple):
    """A level of the call, and the account that pays there."""

    level: int
    account: Account

    def __str__(self) -> str:
        """Name the level as traces do."""
        return f"level {self.level} account {self.account.id}"


def ringing_s(draft: Draft, attempts: int) -> int:
    """Return for how long a call of so many attempts may go unanswered: each is silent first, and then rings.

    A server's own ringing time is never longer than the node's.
    """
    return attempts * (FIRST_ANSWER_MAX_S + draft.facts.limits.ring_max_s)


def stages_max_s(draft: Draft) -> int:
    """Return for how long a call may go unanswered that is led from one to the next."""
    return min(STAGES_MAX_S, STAGES_MAX * draft.facts.limits.ring_max_s)


def paid_legs(draft: Draft, chain: Chain, callee: E164, below: int = 0) -> Legs | Reject:
    """Return what each level pays for a call to a carrier, nearest to the caller first; or the refusal.

    below: how many levels of the call are counted before these.
    """
    legs: list[PinnedLeg] = []
    for payer in _payers(chain, below):
        leg = _paid_leg(draft, payer, callee)
        if isinstance(leg, Reject):
            return leg
        legs.append(leg)
    return tuple(legs)


def internal_legs(draft: Draft, chain: Chain, called: Chain, callee: E164, below: int = 0) -> Legs | Reject:
    """Return what the caller's levels pay for a call to a line of ours: nothing, unless a level's tariff says so.

    below: as above.
    """
    is_other = chain.levels[0].id != called.levels[0].id
    legs: list[PinnedLeg] = []
    for payer in _payers(chain, below):
        tariff = _tariff_of(draft, payer)
        is_paid = tariff is not None and (tariff.onnet == "all" or (tariff.onnet == "other" and is_other))
        leg = _paid_leg(draft, payer, callee) if is_paid else _free_leg(payer)
        if isinstance(leg, Reject):
            return leg
        legs.append(leg)
    return tuple(legs)


def inbound_legs(draft: Draft, called: Chain, callee: E164, below: int = 0) -> Legs | Reject:
    """Return what the levels above a called line pay for a call to its number: nothing where no inbound rate says so.

    below: how many levels the caller's chain has; these are counted on from there. The caller learns no more than that
    the line cannot be reached: what is wrong with the tariffs of the called is not his business.
    """
    legs: list[PinnedLeg] = []
    for payer in _payers(called, below):
        tariff = _tariff_of(draft, payer)
        found = rate_for(draft, tariff, tariff.inbound_rate_set_id, callee) if tariff else None
        if found is None:
            legs.append(_free_leg(payer))
            continue
        if found.rate.forbidden:
            sentence = f"{payer} takes no calls to {callee} {_where(found)}"
            return draft.refuse("called_unavailable", sentence, payer.account.id)
        leg = _rated_leg(draft, payer, found, "called_unavailable")
        if isinstance(leg, Reject):
            return leg
        legs.append(leg)
    return tuple(legs)


def free_legs(chain: Chain, below: int = 0) -> Legs:
    """Return a leg at price 0 for each level of the chain. below: as above."""
    return tuple(map(_free_leg, _payers(chain, below)))


def carrier_leg(draft: Draft, group: PeeringGroup, number: str) -> PinnedLeg | None:
    """Return what the group's owner would pay the carrier by the carrier's own deck; None when it does not sell that.

    number: the routing number. Payer and payee are the owner: what he owes a carrier is posted in Postgres only, on his
    own books.
    """
    tariff = draft.known.tariff(group.tariff_id)
    found = rate_for(draft, tariff, in_force(tariff, draft.call.received_ms), number) if tariff else None
    if found is None or found.rate.forbidden:
        return None
    return _pinned(found, 0, group.account_id, group.account_id, "")


def in_force(tariff: Tariff, at_ms: int) -> int:
    """Return the rate set that prices calls which begin at `at_ms`, Unix time; 0 = the tariff has none then."""
    if not tariff.decks:
        return tariff.rate_set_id
    begun = [deck.rate_set_id for deck in tariff.decks if deck.valid_from_ms <= at_ms]
    return begun[-1] if begun else tariff.rate_set_id


def rate_for(draft: Draft, tariff: Tariff, rate_set_id: int, number: str) -> Tariffed | None:
    """Return what a rate set of the tariff has for the longest prefix of `number`; None for nothing, or set 0."""
    if not rate_set_id:
        return None
    rate_set = draft.known.rate_set(rate_set_id)
    if rate_set is None:
        return None
    found = draft.known.longest_rate(tariff.id, rate_set_id, number)
    if found is None:
        return None
    prefix, class_index = found
    if class_index >= len(rate_set.rates):
        return None
    rate = rate_set.rates[class_index]
    tariffed = Tariffed(tariff, rate_set_id, prefix, rate, ())
    return _in_time(draft, tariffed, rate_set) if rate.periods else tariffed


def hold_for(draft: Draft, out_legs: Legs, in_legs: Legs, attempts: int, further: Further = NOTHING) -> Hold:
    """Return what the call has to hold before it may go: its funds, and the first slice at the dearest it may become.

    out_legs: of the caller's chain; in_legs: of the called number's. further: what else is held.
    """
    sides: dict[str, int] = {}
    nearest: dict[str, PinnedLeg] = {}
    is_plain = further is NOTHING  # as nearly every call is
    sided = ((OUT, out_legs), (IN, in_legs))
    for side, legs in sided if is_plain else (*sided, (OUT, further.out_legs), (IN, further.in_legs)):
        for leg in legs:
            sides[leg.fund] = sides.get(leg.fund, 0) | side
            nearest.setdefault(leg.fund, leg)
    funds = [HoldFund(fund, leg.payer_id, leg.level, sides[fund]) for fund, leg in nearest.items()]
    if further.counted:
        funds.extend(_merged(further.counted))
    names = tuple(nearest) if is_plain else tuple([fund.fund for fund in funds])
    limits, now_ms = draft.facts.limits, draft.call.received_ms
    until_ms = now_ms + ((further.waits_s or ringing_s(draft, attempts)) + ANSWER_SLACK_S) * 1000
    legs = (*out_legs, *in_legs, *further.out_legs, *further.in_legs)
    ways = [by_fund(way, names) for way in ((legs,) if is_plain else alternatives(legs, further.targets))]
    is_led = not is_plain and any(leg.tariff_id for leg in (*further.out_legs, *further.in_legs))
    slice_s = min(limits.slice_s, limits.max_call_s, LED_SLICE_S if is_led else limits.slice_s)
    rows = worst_schedule(ways, 0, slice_s, now_ms, until_ms)
    return Hold(tuple(funds), rows, draft.known.used, further.asks, further.turns)


def _merged(counted: tuple[HoldFund, ...]) -> Iterable[HoldFund]:
    """Yield the funds that count lines and users, each once: a line may call itself."""
    merged: dict[str, HoldFund] = {}
    for fund in counted:
        before = merged.get(fund.fund)
        merged[fund.fund] = fund._replace(sides=fund.sides | before.sides) if before else fund
    return merged.values()


def days_end_ms(draft: Draft, legs: Legs, attempts: int, waits_s: int = 0) -> tuple[int, ...]:
    """Return when, during the longest possible call, a day ends for an account that pays for it; rising, Unix time.

    waits_s: as in Further.
    """
    # The chain has read all payers, unless a record bears another id than its name.
    payers = [draft.known.cached(keys.account(leg.payer_id)) for leg in legs if leg.tariff_id]
    zones = {payer.timezone for payer in payers if isinstance(payer, Account)}
    if not zones:
        return ()
    limits, now_ms = draft.facts.limits, draft.call.received_ms
    end_ms = now_ms + ((waits_s or ringing_s(draft, attempts)) + ANSWER_SLACK_S + limits.max_call_s) * 1000
    found: set[int] = set()
    for name in zones:
        found.update(midnights(draft.facts.zones.get(name, UTC), now_ms, end_ms))
    return tuple(sorted(found))


def _payers(chain: Chain, below: int = 0) -> Iterable[Payer]:
    return (Payer(level, account) for level, account in enumerate(chain.levels, below + 1))


def _tariff_of(draft: Draft, payer: Payer) -> Tariff | None:
    return draft.known.tariff(payer.account.tariff_id) if payer.account.tariff_id else None


def _paid_leg(draft: Draft, payer: Payer, callee: E164) -> PinnedLeg | Reject:
    """Return the leg of a level that has to have a rate; or the refusal "no_rate", "forbidden" or "no_exchange"."""
    account = payer.account
    tariff = _tariff_of(draft, payer)
    rate_set_id = in_force(tariff, draft.call.received_ms) if tariff else 0
    if tariff is not None and not rate_set_id:
        return draft.refuse("no_rate", f"{payer} has no prices at this time in tariff {tariff.id}", account.id)
    found = rate_for(draft, tariff, rate_set_id, callee) if tariff else None
    if found is None:
        return draft.refuse("no_rate", f"{payer} has no rate for {callee} in tariff {account.tariff_id}", account.id)
    if found.rate.forbidden:
        return draft.refuse("forbidden", f"{payer} may not call it {_where(found)}", account.id)
    return _rated_leg(draft, payer, found, "no_exchange")


def _rated_leg(draft: Draft, payer: Payer, found: Tariffed, no_exchange: str) -> PinnedLeg | Reject:
    """Return the leg, or the refusal `no_exchange` where the account's money cannot be counted in the tariff's."""
    account, currency = payer.account, found.tariff.currency
    if currency == account.currency and not found.bands:
        besides = (payer.level, found.rate_set_id, found.prefix, found.rate)
        leg, sentence = _LEGS.of((account, found.tariff), besides)
        draft.note(sentence)
        return leg
    nanos, told = 0, ""
    if currency != account.currency:
        nanos = nanos_for(draft, currency, account.currency)
        told = f", 1 {currency} = {amount(nanos)} {account.currency}"
    if currency != account.currency and not nanos:
        sentence = f"{payer} has {account.currency}, tariff {found.tariff.id} is in {currency}: no exchange rate"
        return draft.refuse(no_exchange, sentence, account.id)
    changes = _changes(draft, found) if found.bands else ""
    leg = _leg_of(payer, found)
    draft.note(f"{_pays(payer, found)}{told}{changes}")
    return leg._replace(exchange_nanos=nanos) if nanos else leg


def _leg_of(payer: Payer, found: Tariffed) -> PinnedLeg:
    account = payer.account
    return _pinned(found, payer.level, account.id, account.parent_id, keys.fund(account.id, account.currency))


def _pays(payer: Payer, found: Tariffed) -> str:
    return f"{payer} pays {per_minute(found.rate.per_min_micros, found.tariff.currency)} {_where(found)}"


_Besides = tuple[int, int, str, Rate]
"""Level, rate set, prefix and rate."""


def _leg_and_sentence(payer_and_tariff: tuple[Account, Tariff], besides: _Besides) -> tuple[PinnedLeg, str]:
    """Return the leg of a level and what a trace tells of it, where neither clock nor exchange has a say in it."""
    account, tariff = payer_and_tariff
    level, rate_set_id, prefix, rate = besides
    payer, found = Payer(level, account), Tariffed(tariff, rate_set_id, prefix, rate, ())
    return _leg_of(payer, found), _pays(payer, found)


_LEGS: Final = KeptWith(_leg_and_sentence, LEGS_KEPT)


def _where(found: Tariffed) -> str:
    return f"by tariff {found.tariff.id} prefix {found.prefix}"


def _changes(draft: Draft, found: Tariffed) -> str:
    """Say when and to what the price changes during the call, by the tariff's clock."""
    tariff = found.tariff
    zone = _known_zone(draft, tariff)
    told: list[str] = []
    for before, after in pairwise(found.bands[:BANDS_TOLD]):
        at = datetime.fromtimestamp(before.until_ms / 1000, zone or UTC)
        told.append(f"{per_minute(after.per_min_micros, tariff.currency)} from {at:%a %H:%M}")
    return f", then {', '.join(told)} ({tariff.timezone if zone else 'UTC'})"


def _in_time(draft: Draft, found: Tariffed, rate_set: RateSet) -> Tariffed:
    """Return the same with the prices of the periods that the call may meet, from now until it must be over."""
    rate = found.rate
    limits, now_ms = draft.facts.limits, draft.call.received_ms
    waits_s = max(ringing_s(draft, draft.attempts_max + REDIRECTS_MAX), stages_max_s(draft))
    end_ms = now_ms + (waits_s + ANSWER_SLACK_S + limits.max_call_s) * 1000
    met = bands(rate, rate_set.periods, _zone(draft, found.tariff), now_ms, end_ms)
    now = rate._replace(periods=(), per_min_micros=met[0].per_min_micros, connect_micros=met[0].connect_micros)
    return found._replace(rate=now, bands=met if len(met) > 1 else ())


def _zone(draft: Draft, tariff: Tariff) -> tzinfo:
    """Return the time zone of a tariff's periods; UTC for one that this node does not know."""
    zone = _known_zone(draft, tariff)
    if zone is None:
        draft.note(f"tariff {tariff.id}: time zone {tariff.timezone} is unknown here, UTC counts")
    return zone or UTC


def _known_zone(draft: Draft, tariff: Tariff) -> tzinfo | None:
    return UTC if tariff.timezone == "UTC" else draft.facts.zones.get(tariff.timezone)


def _pinned(found: Tariffed, level: int, payer_id: int, payee_id: int, fund: str) -> PinnedLeg:
    tariff, rate_set_id, prefix, rate, bands_met = found
    return PinnedLeg(
        level,
        payer_id,
        payee_id,
        tariff.currency,
        fund,
        tariff.id,
        rate_set_id,
        prefix,
        rate,
        bands_met,
        tariff.rounding,
        tariff.round_to_micros,
    )


def _free_leg(payer: Payer) -> PinnedLeg:
    account = payer.account
    return PinnedLeg(
        level=payer.level,
        payer_id=account.id,
        payee_id=account.parent_id,
        currency=account.currency,
        fund=keys.fund(account.id, account.currency),
        tariff_id=0,
        rate_set_id=0,
        prefix="",
        rate=FREE,
    )
