"""The reference: two-phase transfers in plain Python. What is reserved is pending, then posted or voided, once.

A part of what is pending may be posted before the end. Amounts of a transfer are totals of the whole call: of what is
pending, what was posted has to be taken off. Knows nothing of Lua, Redis or layouts. Whole numbers without a limit; the
limit of 2^53 is a rule like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from kemi import keys
from kemi.adapters.redis_operations import LEFT, FundTerms, Spent
from kemi.core.outcome import IN, OUT
from kemi.records import Status, Window
from tests.simulation.journal import Journal
from tests.simulation.requests import Request

AMOUNT_MAX: Final = 2**53 - 1
ANSWERS_KEPT: Final = 4
CLOSED_MS: Final = 3_600_000
TURN_KEPT_MS: Final = 7 * 86_400_000
NO_LIMIT: Final = FundTerms(0, 0, -1)
Prices = tuple[int, ...]
Moved = list[tuple[str, int, int, int]]


class Account(NamedTuple):
    """One fund. second, calls: the second of Redis in which a call was last granted, and how many were in it.

    day, month: what was posted in the last window of which anybody knew; is_counted: since a cap was met. opening:
    version of the one that the windows began with.
    """

    pending: int = 0
    posted: int = 0
    channels: int = 0
    n: int = 0
    second: int = -1
    calls: int = 0
    channels_out: int = 0
    channels_in: int = 0
    day: Spent = Spent()
    month: Spent = Spent()
    is_counted: bool = False
    opening: int = 0

    def sides_added(self, sides: int, sign: int) -> Account:
        """Return it with one channel more, or less: one in all, and one of each side that the call has here."""
        return self._replace(
            channels=self.channels + sign * (sides != LEFT),
            channels_out=self.channels_out + sign * bool(sides & OUT),
            channels_in=self.channels_in + sign * bool(sides & IN),
        )


class Answered(NamedTuple):
    """An operation that was applied. granted_s: what it answered."""

    op_id: bytes
    kind: str
    granted_s: int


class Transfer(NamedTuple):
    """One reservation. state: held, answered (both pending), settled, released, void (a tombstone), refused.

    amounts, posted: per fund, of the whole call; the difference is pending. billed_s: what the parts have posted.
    forget_ms: when Redis may forget it, 0 while pending. answers: the reserve's first. lease_ms: expiry by Redis'
    clock. set_us, until_us: when it was set and when it is over, by the time as it really goes. node_answered_ms: of
    the first answer. adopted: the epoch for which its node has told it, 0 = it never had to. place, joins: of who
    answered; none of `joins` is among the funds. told: what its reserve told of others, None = nothing.
    """

    rid: str
    state: str
    seq: int = 0
    granted_s: int = 0
    funds: tuple[str, ...] = ()
    sides: tuple[int, ...] = ()
    amounts: Prices = ()
    posted: Prices = ()
    billed_s: int = 0
    lease_ms: int = 0
    set_us: int = 0
    until_us: int = 0
    call: bytes = b""
    node: bytes = b""
    server_id: int = 0
    node_answered_ms: int = 0
    was_answered: bool = False
    legs: bytes = b""
    answers: tuple[Answered, ...] = ()
    forget_ms: int = 0
    adopted: int = 0
    place: int = -1
    joins: tuple[str, ...] = ()
    told: list[list[int]] | None = None

    @property
    def is_pending(self) -> bool:
        """Whether it holds money and channels."""
        return self.state in ("held", "answered")

    def earlier(self, op_id: bytes) -> Answered | None:
        """Return what an operation was answered before."""
        return next((answer for answer in self.answers if answer.op_id == op_id), None)

    def must_remember(self, op_id: bytes) -> bool:
        """Whether a repetition has to get its first answer: the reserve's, and the last four."""
        kept = (*self.answers[:1], *self.answers[1:][-ANSWERS_KEPT:])
        return any(answer.op_id == op_id for answer in kept)

    def after(self, op_id: bytes, kind: str, seq: int) -> Transfer:
        """Return it with one more applied operation."""
        return self._replace(seq=seq, answers=(*self.answers, Answered(op_id, kind, self.granted_s)))


class Ledger:
    """All transfers and accounts. journal: the history that Redis can lose, shared with it.

    terms: fund -> what the sync has brought of it. grants: how often each reservation was granted: once, or again after
    its end was forgotten. turns: by group, how many calls took its turn, and until when that is remembered.
    """

    def __init__(self, journal: Journal, terms: Callable[[str], FundTerms | None]) -> None:
        self._journal = journal
        self._terms = terms
        self.accounts: dict[str, Account] = {}
        self.transfers: dict[str, Transfer] = {}
        self.pending: dict[str, None] = {}
        self.grants: dict[str, int] = {}
        self.turns: dict[int, tuple[int, int]] = {}

    def account(self, fund: str) -> Account:
        """Return a fund's sums."""
        return self.accounts.get(fund, Account())

    def clear(self) -> None:
        """Lose everything."""
        for container in (self.accounts, self.transfers, self.pending, self.grants, self.turns):
            container.clear()

    def copy(self, journal: Journal, terms: Callable[[str], FundTerms | None]) -> Ledger:
        """Return another one that stands where this one stands."""
        made = Ledger(journal, terms)
        made.accounts, made.transfers = dict(self.accounts), dict(self.transfers)
        made.pending, made.grants, made.turns = dict(self.pending), dict(self.grants), dict(self.turns)
        return made

    def store(self, transfer: Transfer) -> None:
        """Keep a transfer as it is now."""
        self._journal.put(self.transfers, transfer.rid, transfer)
        if transfer.is_pending:
            self._journal.put(self.pending, transfer.rid, None)
        else:
            self._journal.drop(self.pending, transfer.rid)

    def forget(self, rid: str) -> None:
        """Drop a closed transfer whose time is over."""
        self._journal.drop(self.transfers, rid)

    def restore(self, fund: str, posted: int, n: int, day: Spent, month: Spent) -> None:
        """Set what Postgres says."""
        counted = self.account(fund).is_counted or day.id > 0 or month.id > 0
        account = self.account(fund)._replace(posted=posted, n=n, day=day, month=month, is_counted=counted)
        self._put(fund, account)

    def taken(self, fund: str) -> tuple[int, int, int, int]:
        """Return what the pending transfers take of a fund: micros, channels, those of each side."""
        sums = Account()
        for transfer in (self.transfers[rid] for rid in self.pending):
            if fund in transfer.funds:
                at = transfer.funds.index(fund)
                more = transfer.amounts[at] - transfer.posted[at]
                sums = sums.sides_added(transfer.sides[at], 1)._replace(pending=sums.pending + more)
            elif fund in transfer.joins:
                sums = sums.sides_added(IN, 1)
        return sums.pending, sums.channels, sums.channels_out, sums.channels_in

    def recount(self, fund: str, taken: tuple[int, int, int, int]) -> None:
        """Let a fund hold what its pending transfers take."""
        pending, channels, out, in_ = taken
        account = self.account(fund)._replace(pending=pending, channels=channels, channels_out=out, channels_in=in_)
        self._put(fund, account)

    def hold_again(self, transfer: Transfer) -> None:
        """Keep a transfer that its node has told: it is granted once more where nobody knows it."""
        if transfer.rid not in self.transfers:
            self._journal.put(self.grants, transfer.rid, self.grants.get(transfer.rid, 0) + 1)
        self.store(transfer)

    def note_void(self, rid: str) -> None:
        """Count a grant less: it ended without any event, as Postgres knows more of it."""
        self._journal.put(self.grants, rid, self.grants.get(rid, 0) - 1)

    def reserve(self, transfer: Transfer, now_ms: int) -> None:
        """Make a transfer pending: amounts and channels at every fund."""
        second = now_ms // 1000
        for fund, amount, sides in zip(transfer.funds, transfer.amounts, transfer.sides, strict=True):
            account = self.account(fund).sides_added(sides, 1)
            calls = account.calls + 1 if account.second == second else 1
            account = account._replace(second=second, calls=calls, pending=account.pending + amount)
            self._put(fund, self._opened(fund, account, now_ms))
        self._journal.put(self.grants, transfer.rid, self.grants.get(transfer.rid, 0) + 1)
        self.store(transfer)

    def turn(self, group: int, now_ms: int) -> int:
        """Return how many calls took a group's turn before, as far as that is remembered."""
        taken, forget_ms = self.turns.get(group, (0, 0))
        return taken if forget_ms > now_ms else 0

    def take_turns(self, groups: Sequence[int], now_ms: int) -> None:
        """Count a call for each group."""
        for group in groups:
            self._journal.put(self.turns, group, (self.turn(group, now_ms) + 1, now_ms + TURN_KEPT_MS))

    def answer(self, transfer: Transfer, held: Prices, who: Request) -> Transfer:
        """Let a pending transfer hold no more than `held` (() = all of it), and count for those who answered alone.

        who: place: where that was, -1 = not known: then all go on to count it that were called, or lead it on. joins:
        of who answered. leaves: of who leads it elsewhere.
        """
        joins, place = who.joins, who.place
        amounts = transfer.amounts
        if len(held) == len(amounts):
            amounts = tuple(map(max, transfer.posted, map(min, amounts, held)))
        sides, new = list(transfer.sides), [fund for fund in dict.fromkeys(joins) if fund not in transfer.funds]
        for at, fund in enumerate(transfer.funds):
            account = self.account(fund)
            account, before = account.sides_added(sides[at], -1), sides[at]
            if keys.counts_only(fund) and (fund in joins or place >= 0):
                makes = 0 if fund in who.leaves else before & OUT
                sides[at] = (makes | IN if fund in joins else makes) or LEFT
            account = account.sides_added(sides[at], 1)
            self._put(fund, account._replace(pending=account.pending - transfer.amounts[at] + amounts[at]))
        for fund in new:
            self._put(fund, self.account(fund).sides_added(IN, 1))
        return transfer._replace(amounts=amounts, sides=tuple(sides), joins=tuple(new))

    def raise_to(self, transfer: Transfer, amounts: Prices, now_ms: int) -> Transfer:
        """Let a pending transfer hold more."""
        for fund, now, before in zip(transfer.funds, amounts, transfer.amounts, strict=True):
            account = self.account(fund)
            self._put(fund, self._opened(fund, account._replace(pending=account.pending + now - before), now_ms))
        return transfer._replace(amounts=amounts)

    def post(self, transfer: Transfer, prices: Prices, now_ms: int) -> tuple[Transfer, Moved]:
        """Post what `prices`, totals of the call, are above what is posted of it; return fund, amount, n, posted."""
        moved: Moved = []
        for fund, price, before in zip(transfer.funds, prices, transfer.posted, strict=True):
            more, account = price - before, self.account(fund)
            if has_caps(self._terms(fund)):
                account = self._opened(fund, account, now_ms)
                day, month = (spent._replace(micros=spent.micros + more) for spent in (account.day, account.month))
                account = account._replace(day=day, month=month)
                self._put(fund, account)
            if more:
                n, posted, pending = account.n + 1, account.posted + more, account.pending - more
                account = account._replace(n=n, posted=posted, pending=pending)
                self._put(fund, account)
                moved.append((fund, more, account.n, account.posted))
        return transfer._replace(posted=prices), moved

    def close(self, transfer: Transfer) -> None:
        """End a pending transfer: void what is pending of it."""
        rest = zip(transfer.funds, transfer.amounts, transfer.posted, transfer.sides, strict=True)
        for fund, amount, posted, sides in rest:
            account = self.account(fund).sides_added(sides, -1)
            self._put(fund, account._replace(pending=account.pending - amount + posted))
        for fund in transfer.joins:
            self._put(fund, self.account(fund).sides_added(IN, -1))

    def _opened(self, fund: str, account: Account, now_ms: int) -> Account:
        """Return the account of a fund with caps with its windows open, rolled to those in force."""
        terms = self._terms(fund)
        if terms is None or not has_caps(terms):
            return account
        counted = opened(Counted(account.day, account.month, account.opening), terms, now_ms)
        return account._replace(day=counted.day, month=counted.month, opening=counted.opening, is_counted=True)

    def _put(self, fund: str, account: Account) -> None:
        self._journal.put(self.accounts, fund, account)


class Counted(NamedTuple):
    """What was spent in a day and a month, counted since that opening."""

    day: Spent
    month: Spent
    opening: int


def opened(counted: Counted, terms: FundTerms, now_ms: int) -> Counted:
    """Return what is spent in the windows in force: they roll forward; only an opening begins them anew."""
    day_id, month_id = _in_force(terms.days, now_ms), _in_force(terms.months, now_ms)
    opening = terms.opening
    if opening is not None and opening.version > counted.opening:
        day = _begun(counted.day, day_id, Spent(opening.day_id, opening.day_micros))
        month = _begun(counted.month, month_id, Spent(opening.month_id, opening.month_micros))
        counted = Counted(day, month, opening.version)
    day = Spent(day_id, 0) if counted.day.id < day_id else counted.day
    month = Spent(month_id, 0) if counted.month.id < month_id else counted.month
    return counted._replace(day=day, month=month)


def _begun(spent: Spent, window_id: int, opening: Spent) -> Spent:
    """Return the beginning of a window: what anybody has counted in it, the more of two."""
    known = [each.micros for each in (spent, opening) if each.id == window_id]
    return Spent(window_id, max(known, default=0))


def _in_force(windows: Sequence[Window], now_ms: int) -> int:
    """Return the window that counts: the first that has not ended, else the last known one; 0 = none is known."""
    return next((window.id for window in windows if window.end_ms > now_ms), windows[-1].id if windows else 0)


def has_caps(terms: FundTerms | None) -> bool:
    """Whether the spend of a fund is limited."""
    return terms is not None and max(terms.day_max_micros, terms.month_max_micros) > 0


def available(account: Account, terms: FundTerms | None) -> float | None:
    """Return what a fund can spend, infinite when unlimited; None when it may not spend at all."""
    if terms is None or terms.status != Status.ACTIVE:
        return None
    if terms.credit_limit_micros < 0:
        return float("inf")
    return terms.cred_micros - account.posted - account.pending + terms.credit_limit_micros


def shortages(account: Account, terms: FundTerms | None, more: int, now_ms: int) -> set[str]:
    """Return why a fund cannot hold `more`: full, credit, spend_day, spend_month; nothing when it can."""
    found: set[str] = set()
    if account.posted + account.pending + more > AMOUNT_MAX:
        found.add("full")
    spendable = available(account, terms)
    if spendable is None or 0 < more > spendable:
        found.add("credit")
    if terms is None or not more:
        return found
    counted = opened(Counted(account.day, account.month, account.opening), terms, now_ms)
    for reason, spent, cap in (
        ("spend_day", counted.day, terms.day_max_micros),
        ("spend_month", counted.month, terms.month_max_micros),
    ):
        if cap and spent.micros + account.pending + more > cap:
            found.add(reason)
    return found


def bars(account: Account, terms: FundTerms | None, sides: int, second: int) -> set[str]:
    """Return all that forbids a new call whatever it costs: status, channels and their sides, cps."""
    if terms is None or terms.status != Status.ACTIVE:
        return {"status"}
    after = account.sides_added(sides, 1)
    counts = (
        ("channels", terms.channels_max, after.channels),
        ("channels_out", terms.channels_out_max, after.channels_out if sides & OUT else 0),
        ("channels_in", terms.channels_in_max, after.channels_in if sides & IN else 0),
    )
    found = {reason for reason, maximum, count in counts if 0 < maximum < count}
    if terms.cps_max and account.second == second and account.calls >= terms.cps_max:
        found.add("cps")
    return found
