"""What Postgres says of accounts, prices and limits, who changes it, and who brings it to Redis as state.

The functions of config.lua are the real ones; the order and the faults of bringing are the simulator's.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from kemi import codec, keys
from kemi.adapters.redis_client import StoreUnavailable
from kemi.adapters.redis_operations import FundTerms
from kemi.records import Account, AccountKind, Exchange, ExchangeRate, Opening, Rate, RateSet, Status, Tariff
from tests.simulation.postgres import Postgres
from tests.simulation.process import Process, Surroundings
from tests.simulation.shim_client import ShimClient
from tests.simulation.windows import DAY_MS, MONTH_MS, windows

CURRENCY: Final = "EUR"
FOREIGN: Final = "USD"
ROOT: Final = 1
RESELLERS: Final = (2, 3, 4)
CUSTOMERS: Final = (5, 6, 7, 8)
PARENTS: Final = {2: ROOT, 3: 2, 4: 2, 5: 3, 6: 3, 7: 4, 8: 2}
COUNTERS: Final = ("line1:", "line2:", "line3:", "user4:")
STEP_MAX: Final = 12
MARKER: Final = "1 1 1 1"  # a database, and how far its history was
DAYS_KNOWN: Final = 3
MONTHS_KNOWN: Final = 2
UNLIMITED: Final = (0, 0, 0, 1)  # share of the funds that have no credit limit
UNLIMITED_HUGE: Final = (0.5, 1)  # the same where money is near 2^53
CAPPED: Final = (0, 0.5)  # share of the funds that begin with caps on spend
CAPS: Final = ("day_max_micros", "month_max_micros")
NANOS: Final = (1, 333_333_333, 10**9, 1_100_000_007)
ROUNDINGS: Final = ("up", "up", "down", "half_up", "half_even")
PEOPLE: Final = (
    *(("pay", 7), ("relax", 9), ("fit", 2)),
    *(("take", 1), ("limit", 1), ("status", 1), ("channels", 1), ("channels_in", 3), ("channels_out", 1), ("cps", 1)),
    *(("price", 1), ("move", 1), ("exchange", 1), ("day", 2), ("month", 2), ("line", 4)),
)
MOODS: Final = (0, 0.3, 1, 1, 3, 8)  # how much people of a history like to do something
KIND: Final = frozenset({"pay", "relax"})  # what lets calls go on
FIT_AMONG: Final = 8  # calls


class Scale(NamedTuple):
    """How big money is in a run. credit: what a fund begins with. per_min: dearest price of a minute, in micros."""

    credit: int
    per_min: int


SCALES: Final = (
    Scale(40_000, 60_000),
    Scale(3_000, 900),
    Scale(60, 90),
    Scale(10**9, 60_000),
    Scale(2**53 - 20_000, 2**50),
)


class Configuration:
    """The tables. dirty: what the sync has not brought yet, by Redis key."""

    def __init__(self, world: Surroundings, data: Postgres, scale: Scale) -> None:
        self._world = world
        self._rng = world.rng
        self._data = data
        self._scale = scale
        self._rate_sets = 0
        self._openings = 0
        self.terms: dict[str, FundTerms] = {}
        self.records: dict[str, object] = {}
        self.dirty: dict[str, None] = {}
        self._habits = (
            [what for what, _ in PEOPLE],
            [weight * (1 if what in KIND else self._rng.choice(MOODS)) for what, weight in PEOPLE],
        )
        self.accounts = (*RESELLERS, *CUSTOMERS)
        capped = self._rng.choice(CAPPED)
        unlimited = self._rng.choice(UNLIMITED_HUGE if scale.credit > 2**52 else UNLIMITED)
        self.exchange()
        for account_id in (ROOT, *self.accounts):
            self._put_account(account_id, PARENTS.get(account_id, 0))
            self.price(account_id)
        for account_id in self.accounts:
            fund = keys.fund(account_id, CURRENCY)
            data.funds.append(fund)
            data.credit[fund] = (0, 0)
            limit = self._rng.choice((0, 0, scale.credit // 3))
            self.terms[fund] = FundTerms(0, 0, -1 if self._rng.random() < unlimited else limit)
            if self._rng.random() < capped:
                day, month = (self._rng.choice((scale.credit, scale.credit // 2)) for _ in CAPS)
                self._cap(fund, day_max_micros=day, month_max_micros=month)
            self.pay(fund, scale.credit * (len(CUSTOMERS) if account_id in RESELLERS else 1))

    def pay(self, fund: str, micros: int) -> None:
        """Post money, or take it."""
        cver, cred = self._data.credit[fund]
        cred = max(1 - 2**53, min(2**53 - 1, cred + micros))
        self._data.credit[fund] = (cver + 1, cred)
        self._change(fund, self.terms[fund]._replace(cver=cver + 1, cred_micros=cred))

    def price(self, account_id: int) -> None:
        """Give an account another tariff: a new rate set, which calls in progress do not see."""
        self._rate_sets += 1
        rng = self._rng
        per_min = rng.choice((0, rng.randrange(1, self._scale.per_min)))
        connect, least = (rng.choice((0, 0, self._scale.per_min // 10)) for _ in range(2))
        rate = Rate(per_min, rng.choice((1, 6, 30)), rng.choice((1, 6, 60)), connect, min_micros=least)
        self._record(keys.rate_set(self._rate_sets), RateSet(self._rate_sets, (rate,)))
        currency = rng.choice((*(CURRENCY,) * 4, FOREIGN))
        tariff = Tariff(account_id, account_id, "t", currency, self._rate_sets)
        tariff = tariff._replace(rounding=rng.choice(ROUNDINGS), round_to_micros=rng.choice((1, 1, 1, 7, 10)))
        self._record(keys.tariff(account_id), tariff)

    def change_something(self) -> str:
        """Do one of the things that people do; return what it was."""
        rng = self._rng
        account_id = rng.choice(self.accounts)
        fund = keys.fund(account_id, CURRENCY)
        (what,) = rng.choices(*self._habits)
        match what:
            case "pay" | "take":
                share = len(CUSTOMERS) if account_id in RESELLERS else 1
                self.pay(fund, rng.randrange(1, self._scale.credit * share) * (1 if what == "pay" else -1))
            case "fit":
                self._fit(fund)
            case "price":
                self.price(account_id)
            case "move":
                self._put_account(account_id, rng.choice(RESELLERS) if account_id in CUSTOMERS else PARENTS[account_id])
            case "exchange":
                self.exchange()
            case "line":
                self._limit_line(rng.choice(COUNTERS))
            case "relax":
                terms = self.terms[fund]
                self._change(fund, FundTerms(terms.cver, terms.cred_micros, terms.credit_limit_micros))
            case _:
                self._cap(fund, **self._limit(what))
        return f"{what} {account_id}"

    def _limit_line(self, fund: str) -> None:
        """Give a line or user limits, or take them away."""
        few = [self._rng.choice((0, 0, 1, 2)) for _ in range(3)]
        if any(few):
            self.terms[fund] = FundTerms(1, 0, -1, Status.ACTIVE, few[0], 0, few[1], few[2])
        else:
            self.terms.pop(fund, None)
        self.dirty[keys.fund_terms(fund)] = None

    def exchange(self) -> None:
        """Let one unit of foreign money cost something else."""
        rate = ExchangeRate(FOREIGN, CURRENCY, 0, self._rng.choice(NANOS))
        self._record(keys.EXCHANGE, Exchange((rate,)))

    def refresh_windows(self) -> None:
        """Tell of the days and months to come where a cap needs them and the last ones known are near."""
        now_ms = self._world.now_us // 1000
        for fund, terms in self.terms.items():
            is_over = (terms.days and terms.days[-1].end_ms - now_ms < DAY_MS) or (
                terms.months and terms.months[-1].end_ms - now_ms < DAY_MS
            )
            if is_over:
                self._change(fund, self._windowed(terms))

    def _fit(self, fund: str) -> None:
        """Post or take what leaves as much as one of the last calls costs, to the micro."""
        terms, posted = self.terms[fund], self._data.posted.get(fund)
        holds = [asked.hold for asked in list(self._world.pins.values())[-FIT_AMONG:]]
        prices = [
            row.price_micros[at]
            for hold in holds
            for at, each in enumerate(hold.funds)
            for row in (hold.rows[0], hold.rows[-1])
            if each.fund == fund
        ]
        if prices and terms.credit_limit_micros >= 0:
            left = terms.cred_micros + terms.credit_limit_micros - (posted.charged_micros if posted else 0)
            self.pay(fund, self._rng.choice(prices) - left)

    def _cap(self, fund: str, **limits: Any) -> None:
        """Set limits; what caps a fund that had none begins with what was posted."""
        before = self.terms[fund]
        now = self._windowed(before._replace(**limits))
        self._change(fund, now)
        if any(getattr(now, cap) and not getattr(before, cap) for cap in CAPS):
            self._change(fund, now._replace(opening=self._opening(fund)))

    def _limit(self, what: str) -> dict[str, Any]:
        """Return another limit: the field of the terms, and its value."""
        rng, credit = self._rng, self._scale.credit
        cap = rng.choice((0, rng.randrange(1, credit), credit))
        few = rng.choice((0, 1, 1, 2))
        status = rng.choice((Status.ACTIVE, Status.SUSPENDED, Status.CLOSED))
        limit = rng.choice((0, rng.randrange(credit), rng.randrange(credit), -1))
        changes: dict[str, Any] = {
            "limit": ("credit_limit_micros", limit),
            "status": ("status", status),
            "day": ("day_max_micros", cap),
            "month": ("month_max_micros", cap),
        }
        field, value = changes.get(what, (f"{what}_max", few))
        return {field: value}

    def _windowed(self, terms: FundTerms) -> FundTerms:
        """Return terms with the windows that they need as of now."""
        now_ms = self._world.now_us // 1000
        if not max(terms.day_max_micros, terms.month_max_micros):
            return terms._replace(days=(), months=(), opening=None)
        days = windows(now_ms, DAY_MS, DAYS_KNOWN) if terms.day_max_micros else ()
        months = windows(now_ms, MONTH_MS, MONTHS_KNOWN) if terms.month_max_micros else ()
        return terms._replace(days=days, months=months)

    def _opening(self, fund: str) -> Opening:
        """Return what the windows of a fund begin with as of now: what is posted in them."""
        self._openings += 1
        spent = self._data.windows().get(fund)
        if spent is None:
            return Opening(self._openings, 0, 0, 0, 0)
        return Opening(self._openings, *spent.day, *spent.month)

    def everything(self) -> None:
        """Bring all again: Redis has lost some of it."""
        funds = (*self.terms, *(fund for fund in COUNTERS if fund not in self.terms))
        self.dirty = dict.fromkeys((*map(keys.config, self.records), *map(keys.fund_terms, funds)))

    def value(self, key: str, version: int) -> bytes:
        """Return the bytes of a key as they have to stand in Redis."""
        if key.startswith(keys.FUND_TERMS_PREFIX):
            terms = self.terms.get(key.removeprefix(keys.FUND_TERMS_PREFIX))
            return codec.pack(terms) if terms else b""
        return codec.pack_config(version, self.records[key.removeprefix(keys.CONFIG_PREFIX)])

    def _put_account(self, account_id: int, parent_id: int) -> None:
        kind = AccountKind.RESELLER if account_id in RESELLERS else AccountKind.CUSTOMER
        account = Account(account_id, parent_id, kind, Status.ACTIVE, "a", CURRENCY, account_id, "UTC")
        self._record(keys.account(account_id), account)

    def _record(self, name: str, record: object) -> None:
        self.records[name] = record
        self.dirty[keys.config(name)] = None

    def _change(self, fund: str, terms: FundTerms) -> None:
        if terms.days or terms.months:
            self._data.capped.add(fund)
        else:
            self._data.capped.discard(fund)
        self.terms[fund] = terms
        self.dirty[keys.fund_terms(fund)] = None


class Syncer(Process):
    """Brings what is dirty, a few keys at a time; begins again with everything whenever it is not sure."""

    def __init__(self, world: Surroundings, configuration: Configuration) -> None:
        super().__init__(world, "sync")
        self._configuration = configuration
        self._client = ShimClient(self.exchange)
        self._fence = 0
        self._pass = 0
        self._begun = False
        self._is_full = False

    @property
    def is_sure(self) -> bool:
        """Whether Redis was as it left it, when it last looked."""
        return self._begun and not self._is_full

    def step(self) -> None:
        """Bring the next keys. Raises Killed."""
        if self.dead:
            self.dead, self._begun = False, False
        try:
            if not self._begun:
                self._begin()
            self._configuration.refresh_windows()
            self._bring()
        except StoreUnavailable:
            self._begun = False

    def _begin(self) -> None:
        self._fence += 1
        reply = self._client.fcall("tandem_begin_1", (), (self._fence, ""))
        self._pass = int(reply[0])
        self._configuration.everything()
        self._begun = self._is_full = True

    def _bring(self) -> None:
        dirty = self._configuration.dirty
        batch = list(dirty)[:STEP_MAX]
        version = max(self._pass, self._fence << 32) + 1
        for key in batch:
            del dirty[key]
        if batch:
            values = [self._configuration.value(key, version) for key in batch]
            self._client.fcall("tandem_apply_1", batch, (self._fence, self._pass, version, *values))
            self._pass = version
        elif self._is_full:
            self._client.fcall("tandem_commit_pass_1", (), (self._fence, self._pass, MARKER, version))
            self._pass, self._is_full = version, False
        else:  # it lives; and it learns whether Redis is still what it left
            self._client.fcall("tandem_commit_pass_1", (), (self._fence, self._pass, MARKER, ""))
