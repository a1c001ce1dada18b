"""What would become of a call: the decision of a live worker, made here from the live tables.

Rule 1: nothing is decided in this file. It builds the request that a caller would send and asks core.decide, as a
worker does, until it needs nothing more (kemi/adapters/redis_whatif.py). What the NOC has in quarantine counts.
Rule 2: nothing is held. What the funds have is read beside it: whether the store would grant the hold as they stand
now, and how long each of them could pay.
Rule 3: a node's memory of failed carriers is its own; here every carrier is well, and a note says so.
Rule 4: where carriers are equal the order is drawn by the Call-ID. The same call is decided under other Call-IDs, and a
note says who comes first how often.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from kemi import keys
from kemi.adapters import redis_measures
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Balance, Funds, Spent
from kemi.adapters.redis_tables import Tables
from kemi.adapters.redis_whatif import decided, proven
from kemi.adapters.zones import Zones
from kemi.core.again import ONE_BY_ONE_MAX, Again, again, refused_hold
from kemi.core.outcome import IN, OUT, Decision, HoldFund, Need, Reject, Route
from kemi.core.rating import charges
from kemi.core.request import CallRequest, Facts
from kemi.records import Account, Opening, PinnedCall, Status, Subscriber, Window
from kemi.settings import Limits
from tools.errors import OperatorError
from tools.explain.request import Question, invite
from tools.explain.secret import UNKNOWN

LEVELS_MAX: Final = 9  # accounts of a chain, the root included
UNLIMITED: Final = -1
NODE: Final = "explain"
SECRET: Final = b"tandem explain"  # where that of the nodes is not known
DRAWS: Final = 100  # ≈ 1 ms each
NOT_OPENED: Final = Opening(0, 0, 0, 0, 0)
TRIES_MAX: Final = ONE_BY_ONE_MAX + 2  # decisions, each without what the hold of the one before would be refused for
NOTHING_LEFT_OUT: Final = Again()


class Purse(NamedTuple):
    """A fund of the hold and what it has. sides: as in HoldFund. talk_s: how long it alone could pay.

    credit_micros: balance and credit limit; day_micros, month_micros: what the caps on spend leave. None = unlimited.
    """

    account_id: int
    level: int
    sides: int
    balance: Balance
    talk_s: int
    credit_micros: int | None = None
    day_micros: int | None = None
    month_micros: int | None = None

    @property
    def available_micros(self) -> int | None:
        """What can be spent, None = anything; 0 where the fund may not be used at all."""
        if self.balance.terms is None or self.balance.terms.status != Status.ACTIVE:
            return 0
        left = (self.credit_micros, self.day_micros, self.month_micros)
        return min((micros for micros in left if micros is not None), default=None)


class Answer(NamedTuple):
    """The decision, what the funds have for it, and from which state of the tables. rounds: fetches that it took.

    decision: a Route whose hold would be refused as the funds stand now is that refusal, and the Route stands in
    `route`. accounts: those of the chains, by id. notes: what nodes may do otherwise. is_redacted: for somebody who
    does not see all of it.
    """

    decision: Decision
    route: Route | None
    purses: tuple[Purse, ...]
    accounts: Mapping[int, Account]
    config_pass: int
    rounds: int
    notes: tuple[str, ...] = ()
    is_redacted: bool = False

    @property
    def call(self) -> PinnedCall | None:
        """What is known of the call; nothing while nobody is identified."""
        if self.route is not None:
            return self.route.call
        return self.decision.call if isinstance(self.decision, Reject) else None


def answer(client: RedisClient, question: Question, limits: Limits) -> Answer:
    """Return the decision for `question`. Raises OperatorError for a caller who cannot be, StoreUnavailable."""
    tables = Tables(client)
    tables.load_pinned()
    if not tables.seen_pass:
        raise OperatorError("Redis holds no configuration yet: `tandem sync` has not finished its first load")
    base = Facts({}, {}, NODE, question.secret or SECRET, limits, nonce_uses=1, zones=Zones())
    base = base._replace(quarantine=redis_measures.quarantine(client, redis_measures.clock_ms(client)))
    call, left_out, rounds = _sent(tables, question), Again(), 0
    for times in range(TRIES_MAX):
        decision, fetches = _decided(tables, call, base, left_out)
        rounds += fetches
        route = decision if isinstance(decision, Route) else None
        accounts = _accounts(tables, decision)
        purses = _purses(client, decision, accounts)
        short = _short(route, purses) if route is not None and not route.emergency else None
        further = again(route, *short, times) if route and short else None
        if further is None:
            break
        left_out = left_out.besides(further)
    refusal = refused_hold(route, *short) if route and short else None
    notes = tuple(_notes(tables, question, route, base)) if route is not None and refusal is None else ()
    return Answer(refusal or decision, route, purses, accounts, tables.seen_pass, rounds, notes)


def _sent(tables: Tables, question: Question) -> CallRequest:
    """Return the INVITE as its caller sends it in the end."""
    call = invite(question)
    return proven(tables, call, question.line, question.secret or SECRET) if question.line else call


def _notes(tables: Tables, question: Question, route: Route, base: Facts) -> Iterator[str]:
    """Yield what nodes may do otherwise than is shown here."""
    names = {target.pinned.server_id: target.pinned.name for target in route.targets if target.pinned.server_id}
    if not names:
        return
    yield "what nodes remember of servers that failed lately is not looked at: they try those last"
    if len(names) == 1:
        return
    orders: list[tuple[int, ...]] = []
    for n in range(DRAWS):
        other = question._replace(call_id=f"{question.call_id}-{n}")
        decision, _ = _decided(tables, _sent(tables, other), base)
        if isinstance(decision, Route):
            names |= {target.pinned.server_id: target.pinned.name for target in decision.targets}
            orders.append(tuple(target.pinned.server_id for target in decision.targets))
    if len(set(orders)) > 1:
        firsts = Counter(order[0] for order in orders if order)
        shares = ", ".join(f"{names[server_id]} in {count}" for server_id, count in firsts.most_common())
        unknown = "" if question.secret else f"; {UNKNOWN}"
        yield f"the order among equals is drawn for each call: of {len(orders)}, first comes {shares}{unknown}"


def _decided(
    tables: Tables, call: CallRequest, base: Facts, left_out: Again = NOTHING_LEFT_OUT
) -> tuple[Decision, int]:
    """Return the decision, and how many fetches it took. left_out: since a hold would be refused for it."""
    decision, rounds = decided(tables, call, base, left_out)
    if isinstance(decision, Need):
        unreadable = "; ".join(f"{name}: {why}" for name, why in tables.unreadable.items())
        raise OperatorError(f"still unknown after {rounds} fetches: {', '.join(decision.keys)} {unreadable}")
    return decision, rounds


def subscriber_of(client: RedisClient, account_id: int) -> str:
    """Return the address of record of an account's first active subscriber, by name. Raises OperatorError."""
    tables, cursor, names = Tables(client), b"0", list[str]()
    while True:
        cursor, found = client.execute("SCAN", cursor, "MATCH", keys.config(keys.subscriber("*")), "COUNT", 1_000)
        names += [key.decode().removeprefix(keys.CONFIG_PREFIX) for key in found]
        if cursor == b"0":
            break
    for name in sorted(names):
        tables.fetch(Need((name,)))
        record = tables.records.get(name)
        if isinstance(record, Subscriber) and record.account_id == account_id and record.status == Status.ACTIVE:
            return f"{record.username}@{record.domain}"
    raise OperatorError(f"account {account_id} has no active subscriber; name a caller with --subscriber or --source")


def _accounts(tables: Tables, decision: Decision) -> dict[int, Account]:
    """Return the accounts of the call's chains: those that pay, or of a refused call those above its line."""
    call = decision.call if isinstance(decision, Route | Reject) else None
    found: dict[int, Account] = {}
    for account_id in (leg.payer_id for leg in call.legs) if call else ():
        _climb(tables, account_id, found, 1)
    if call is not None and not call.legs:
        _climb(tables, call.account_id, found, LEVELS_MAX)
    return found


def _climb(tables: Tables, account_id: int, found: dict[int, Account], levels: int) -> None:
    for _ in range(levels):
        account = tables.records.get(keys.account(account_id))
        if not isinstance(account, Account):
            return
        found[account_id] = account
        account_id = account.parent_id


def _purses(client: RedisClient, decision: Decision, accounts: Mapping[int, Account]) -> tuple[Purse, ...]:
    """Return what the funds of the hold have; of a refused call, those of the accounts above its line."""
    if not isinstance(decision, Route | Reject) or decision.call is None:
        return ()
    if isinstance(decision, Route):
        funds = decision.hold.funds
    else:
        side = IN if decision.call.direction == "in" else OUT
        payers = enumerate((account for account in accounts.values() if account.parent_id), 1)  # the root has no fund
        funds = tuple(HoldFund(keys.fund(one.id, one.currency), one.id, level, side) for level, one in payers)
    balances = Funds(client, NODE, 0).balances([fund.fund for fund in funds]) if funds else ()
    return tuple(_purse(decision.call, *pair) for pair in zip(funds, balances, strict=True))


class _Short(NamedTuple):
    """Which fund would refuse, and the store's word for why."""

    account_id: int
    reason: str
    fund: str


def _short(route: Route, purses: Sequence[Purse]) -> _Short | None:
    """Return the refusal that the store would give as the funds stand now, in its order; None where it would grant.

    Calls per second are those of the moment, which nobody can tell beforehand.
    """
    for purse in purses:
        full = _full(purse)
        if full:
            return _Short(purse.account_id, full, purse.balance.fund)
    for purse, micros in zip(purses, route.hold.rows[0].price_micros, strict=True):
        left = {"credit": purse.credit_micros, "spend_day": purse.day_micros, "spend_month": purse.month_micros}
        for reason, available in left.items():
            if micros > 0 and available is not None and micros > available:
                return _Short(purse.account_id, reason, purse.balance.fund)
    return None


def _full(purse: Purse) -> str:
    """Return what forbids a new call whatever it costs, in the store's word; "" = nothing."""
    balance, terms = purse.balance, purse.balance.terms
    if terms is None and not purse.level:
        return ""  # it counts a line's or a user's calls, and bounds nothing
    if terms is None or terms.status != Status.ACTIVE:
        return "status"
    counted = (
        ("channels", balance.channels, terms.channels_max, OUT | IN),
        ("channels_in", balance.channels_in, terms.channels_in_max, IN),
        ("channels_out", balance.channels_out, terms.channels_out_max, OUT),
    )
    return next((word for word, taken, most, side in counted if 0 < most <= taken and side & purse.sides), "")


def _purse(call: PinnedCall, fund: HoldFund, balance: Balance) -> Purse:
    """Return what a fund has, as the hold would reckon: a free call needs no money, but terms and an active account."""
    terms = balance.terms
    if not fund.level:
        return Purse(fund.account_id, fund.level, fund.sides, balance, call.max_s)
    if terms is None or terms.status != Status.ACTIVE:
        return Purse(fund.account_id, fund.level, fund.sides, balance, 0)
    now_ms, held = call.started_ms, balance.held_micros
    credit = day = month = None
    if terms.credit_limit_micros != UNLIMITED:
        credit = terms.cred_micros - balance.charged_micros - held + terms.credit_limit_micros
    opening = terms.opening or NOT_OPENED
    if terms.day_max_micros:
        spent = Spent(balance.day_id, balance.day_spent_micros), Spent(opening.day_id, opening.day_micros)
        day = terms.day_max_micros - _spent(*spent, window_at(terms.days, now_ms)) - held
    if terms.month_max_micros:
        spent = Spent(balance.month_id, balance.month_spent_micros), Spent(opening.month_id, opening.month_micros)
        month = terms.month_max_micros - _spent(*spent, window_at(terms.months, now_ms)) - held
    purse = Purse(fund.account_id, fund.level, fund.sides, balance, call.max_s, credit, day, month)
    if purse.available_micros is None:
        return purse
    legs, seconds = [[leg for leg in call.legs if leg.fund == fund.fund]], range(call.max_s + 1)
    available = max(purse.available_micros, 0)
    payable = bisect_right(seconds, available, key=lambda talk_s: sum(charges(legs, talk_s, now_ms)))
    return purse._replace(talk_s=payable - 1)


def _spent(counted: Spent, opened: Spent, now_id: int) -> int:
    """Return what counts against a cap now. What an opening says counts before the first hold takes it, too.

    counted: by the store; opened: as the opening says; now_id: the window that is in force.
    """
    return max(opened.micros if opened.id == now_id else 0, counted.micros if counted.id >= now_id else 0)


def window_at(windows: Sequence[Window], now_ms: int) -> int:
    """Return the id of the window that is in force: the first that has not ended, else the last one known, else 0."""
    ahead = [window.id for window in windows if window.end_ms > now_ms]
    return ahead[0] if ahead else windows[-1].id if windows else 0
