"""The tenants of a proof and the calls that they make: trees of up to six levels, from the seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

from kemi import keys
from kemi.adapters.redis_operations import LEFT
from kemi.core.outcome import IN, OUT, Hold, HoldFund
from kemi.core.rating import by_fund, charges, schedule
from kemi.records import CallEnd, PinnedCall, PinnedLeg, PinnedTarget, Rate

ROOT: Final = "Tandem"
EURO, DOLLAR = "EUR", "USD"
DOLLARS_PER_EURO: Final = "1.0837"
NANOS: Final = 1_083_700_000
CARRIER: Final = "acme"
SHAPES: Final = 96
MICROS: Final = 1_000_000
PER_MIN: Final = (60_000, 48_000, 40_000, 34_000, 30_000, 28_000)  # of the first level, the second, and so on
STEPS: Final = ((1, 1), (1, 1), (30, 6), (60, 60), (6, 6))
SLICES_S: Final = (6, 20, 60)
RING_MS: Final = 60_000
LEADS_ELSEWHERE: Final = 0.3  # share of lines counted out that would have led the call on, and somebody else answered
LINES: Final = 40  # that count their calls; a line that answers is another one than those that are held


class Account(NamedTuple):
    """A tenant. opening, credit_limit, day: units of money. Maxima: 0 = none. currency: of its fund."""

    name: str
    parent: str
    opening: int
    is_customer: bool = False
    credit_limit: int = 0
    channels: int = 0
    channels_in: int = 0
    cps: int = 0
    day: int = 0
    currency: str = EURO


def _branch(parent: str, currency: str = EURO) -> tuple[Account, ...]:
    """Return the customers below a dealer: one rich, one that lives on small top-ups, one with narrow limits."""
    return (
        Account(f"{parent} rich", parent, 20_000, is_customer=True, currency=currency),
        Account(f"{parent} poor", parent, 1, is_customer=True, currency=currency),
        Account(
            f"{parent} small", parent, 500, is_customer=True, credit_limit=5,
            channels=8, channels_in=5, cps=60, day=200, currency=currency,
        ),
    )  # fmt: skip


ACCOUNTS: Final = (
    Account("West", ROOT, 60_000),
    Account("East", ROOT, 5, credit_limit=60_000, currency=DOLLAR),
    Account("West 1", "West", 30_000),
    Account("West 2", "West", 20, credit_limit=1),
    Account("East 1", "East", 30_000, currency=DOLLAR),
    Account("West 1.1", "West 1", 20_000),
    Account("West 1.2", "West 1", 20_000, channels=40),
    Account("West 2.1", "West 2", 20_000),
    Account("East 1.1", "East 1", 20_000, currency=DOLLAR),
    *_branch("West 1.1"),
    *_branch("West 1.2"),
    *_branch("West 2.1"),
    *_branch("East 1.1", DOLLAR),
    Account("Deep", "West 1.1", 10_000),
    Account("Deeper", "Deep", 10_000),
    Account("Deepest", "Deeper", 10_000, is_customer=True),
)
BY_NAME: Final = {each.name: each for each in ACCOUNTS}
POOR: Final = (*(each.name for each in ACCOUNTS if each.opening == 1), "West 2")
CUSTOMERS: Final = tuple(each.name for each in ACCOUNTS if each.is_customer)
ROUNDINGS: Final = (("up", 1), ("up", 1), ("half_up", 100), ("down", 10))


class Places(NamedTuple):
    """Ids of the database: account name -> id, and the carrier that takes every call."""

    accounts: Mapping[str, int]
    group_id: int
    server_id: int

    def fund(self, name: str) -> str:
        """Return the name of an account's fund."""
        return keys.fund(self.accounts[name], BY_NAME[name].currency)

    def funds(self) -> list[str]:
        """Return the names of all funds."""
        return [self.fund(each.name) for each in ACCOUNTS]


class Shape(NamedTuple):
    """A call as a worker would have decided it, but for its id.

    legs: per fund of the hold. joins, leaves: as in Answer.
    """

    call: PinnedCall
    hold: Hold
    legs: tuple[tuple[PinnedLeg, ...], ...]
    slice_s: int
    joins: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()

    @property
    def sides_answered(self) -> tuple[int, ...]:
        """Return the sides of the funds once the call is answered: no line that was called has answered it."""
        return tuple(
            LEFT if keys.counts_only(fund) and (sides == IN or fund in self.leaves) else sides
            for fund, _, _, sides in self.hold.funds
        )

    @property
    def funds(self) -> tuple[str, ...]:
        """Return the names of the funds, in the order of prices."""
        return tuple(fund.fund for fund in self.hold.funds)

    def prices(self, billed_s: int) -> tuple[int, ...]:
        """Return what the talk costs each fund."""
        return charges(self.legs, billed_s, self.call.started_ms)


def shapes(seed: int, places: Places) -> tuple[Shape, ...]:
    """Return the kinds of calls of a run."""
    rng = Random(f"shapes {seed}")  # noqa: S311  no secret
    return tuple(_shape(rng, places) for _ in range(SHAPES))


def ended(outcome: str, billed_s: int, now_ms: int, server_id: int = 0) -> CallEnd:
    """Return how a call ended, or stands in its middle. outcome: as in CallEnd. billed_s > 0: it was answered."""
    return CallEnd(
        outcome=outcome,
        ended_ms=now_ms,
        answered_ms=now_ms - billed_s * 1000 if billed_s else 0,
        talk_ms=billed_s * 1000,
        billed_s=billed_s,
        status=200 if billed_s else 487,
        reason="",
        q850=16,
        ended_by="caller",
        server_id=server_id if billed_s else 0,
    )


def _chain(customer: str) -> list[str]:
    names = [customer]
    while BY_NAME[names[-1]].parent != ROOT:
        names.append(BY_NAME[names[-1]].parent)
    return names


def _shape(rng: Random, places: Places) -> Shape:
    kind = rng.choices(("out", "both", "internal", "in"), (60, 20, 10, 10))[0]
    customer, other = rng.choice(CUSTOMERS), rng.choice(CUSTOMERS)
    outward = _chain(customer) if kind != "in" else []
    inward = _chain(other) if kind != "out" else []
    is_free = kind == "internal"
    legs = [_leg(rng, places, name, level, is_free=is_free) for level, name in enumerate(outward, 1)]
    legs += [_leg(rng, places, name, level, is_free=is_free) for level, name in enumerate(inward, len(legs) + 1)]
    names = list(dict.fromkeys([*outward, *inward]))
    funds = tuple(
        HoldFund(
            places.fund(name),
            places.accounts[name],
            level,
            (OUT if name in outward else 0) | (IN if name in inward else 0),
        )
        for level, name in enumerate(names, 1)
    )
    lines = rng.sample(range(1, LINES), rng.choice((0, 1, 2)))
    account_id = places.accounts[customer if outward else other]
    funds += tuple(HoldFund(keys.line_fund(line), account_id, 0, rng.choice((OUT, IN))) for line in lines)
    paid = tuple(tuple(each) for each in by_fund(legs, [fund.fund for fund in funds]))
    slice_s, started_ms = rng.choice(SLICES_S), 1_770_000_000_000
    rows = schedule(paid, 0, slice_s, started_ms, started_ms + RING_MS)
    call = _call(legs, kind, places, account_id, started_ms)
    joins = rng.choice(((), (keys.line_fund(LINES), keys.user_fund(1))))
    leaves = tuple(
        fund.fund for fund in funds if not fund.level and fund.sides == OUT and rng.random() < LEADS_ELSEWHERE
    )
    return Shape(call, Hold(funds, rows, ()), paid, slice_s, joins, leaves)


def _leg(rng: Random, places: Places, name: str, level: int, *, is_free: bool) -> PinnedLeg:
    first_s, next_s = rng.choice(STEPS)
    per_min = 0 if is_free else PER_MIN[min(level, len(PER_MIN)) - 1] * rng.choice((1, 1, 2)) + rng.randrange(1_000)
    connect = rng.choice((0, 0, 0, 5_000)) if not is_free else 0
    rounding, unit = rng.choice(ROUNDINGS)
    payer, parent = BY_NAME[name], BY_NAME[name].parent
    currency = BY_NAME[parent].currency if parent != ROOT else EURO
    return PinnedLeg(
        level=level,
        payer_id=places.accounts[name],
        payee_id=places.accounts[parent],
        currency=currency,
        fund=places.fund(name),
        tariff_id=0,
        rate_set_id=0,
        prefix="44",
        rate=Rate(per_min, first_s, next_s, connect),
        rounding=rounding,
        round_to_micros=unit,
        exchange_nanos=NANOS if currency != payer.currency else 0,
    )


def _call(legs: Sequence[PinnedLeg], kind: str, places: Places, account_id: int, started_ms: int) -> PinnedCall:
    root = places.accounts[ROOT]
    cost = PinnedLeg(0, root, root, EURO, "", 0, 0, "44", Rate(per_min_micros=12_000))
    target = PinnedTarget(places.group_id, places.server_id, CARRIER, cost)
    return PinnedCall(
        rid="",
        call_id="",
        from_tag="tag",
        node="",
        started_ms=started_ms,
        direction="in" if kind == "in" else "internal" if kind == "internal" else "out",
        source="prove@a.example",
        account_id=account_id,
        caller="4930123456",
        callee="442071838750",
        max_s=14_400,
        legs=tuple(legs),
        targets=(target,) if kind in {"out", "both"} else (),
        trace=("made by the proof",),
    )
