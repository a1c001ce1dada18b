"""What becomes of a call to a prefix: asked of core.decide, with the prices that hold there and nothing beyond.

Rule 1: the prefix stands for the numbers below it that no longer prefix of any price or rule names. So the call sees
the longest matches at the prefix, whatever digits follow.
Rule 2: whoever calls may: locks, barring, block lists and status belong to accounts, not to routes.
Rule 3: a pattern of a rule fits, for some number may fit it; a stopper or block with a condition does not count, for
some call may miss it.
Rule 4: the loss guard refuses a call by the first account that loses, whoever carries it. Then it is asked again
without the guard: every level's loss is told, and what is left wrong once prices are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeGuard

from kemi import keys
from kemi.core.amounts import amount
from kemi.core.decide import decide
from kemi.core.draft import Draft
from kemi.core.exchange import compared
from kemi.core.outcome import Decision, Need, Reject, Route
from kemi.core.prefix import BUCKET_DIGITS, pack_bucket
from kemi.core.proof import proof
from kemi.core.rating import cost
from kemi.records import (
    Account,
    AccountKind,
    Lock,
    Number,
    PeeringRule,
    PeeringRules,
    PinnedLeg,
    SipDomain,
    Status,
    Subscriber,
)
from kemi.settings import Limits
from tools.errors import OperatorError
from tools.explain.request import Question, invite
from tools.lint_routes.findings import Finding
from tools.lint_routes.subjects import Subject
from tools.sql_tables import NODE, SqlTables

LINE: Final = "lint@lint.invalid"
SECRET: Final = b"tandem lint-routes"
HA1: Final = "5ec4e7" + "0" * 26  # of a line that exists only here
NUMBER_DIGITS: Final = 8  # of a number that is called; a longer prefix is called as it is
MS: Final = 1_000  # of a second
REASONS_MAX: Final = 3  # carriers told with a prefix that none takes
ANY_LOSS: Final = -1  # per cent: not guarded


class Told(NamedTuple):
    """What is wrong at a prefix, whichever it is. who: at whose prices. when: at another time than that asked for."""

    kind: str
    who: str
    what: str
    when: str = ""

    def at(self, prefix: str) -> Finding:
        """Return it as a finding."""
        return Finding(self.kind, f"{prefix} {self.who}{self.when}", self.what)


class _Records(Mapping[str, object]):
    """The tables with everything known: what is not there is known to be absent."""

    def __init__(
        self, tables: SqlTables, prefix: str, line: Subscriber, domain: SipDomain, *, is_guarded: bool
    ) -> None:
        self._records = tables.records
        self._prefix = prefix
        self._is_guarded = is_guarded
        self._own: dict[str, object] = {keys.subscriber(LINE): line, keys.sip_domain(domain.name): domain}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __getitem__(self, name: str) -> object:
        if name in self._own:
            return self._own[name]
        record = self._records.get(name)
        if isinstance(record, Account):
            return _allowed(record) if self._is_guarded else _allowed(record)._replace(loss_pct=ANY_LOSS)
        if isinstance(record, PeeringRules):
            prefix = name.rpartition(":")[2]
            return _fitting(record) if len(prefix) <= len(self._prefix) else None
        return None if isinstance(record, Number) else record

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


class _Rates(Mapping[tuple[int, str], bytes | None]):
    """Of each rate set the one price that holds at the prefix."""

    def __init__(self, classes: Mapping[int, int], field: str) -> None:
        self._classes = classes
        self._field = field

    def __contains__(self, bucket: object) -> bool:
        return isinstance(bucket, tuple)

    def __getitem__(self, bucket: tuple[int, str]) -> bytes | None:
        set_id, field = bucket
        return pack_bucket({"": self._classes[set_id]}) if field == self._field and set_id in self._classes else None

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return iter((set_id, self._field) for set_id in self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def told_of(
    tables: SqlTables, subject: Subject, prefix: str, classes: Mapping[int, int], limits: Limits
) -> tuple[Told, ...]:
    """Return what is wrong with calls of the subject to a prefix. classes: what each rate set has there."""
    number = prefix.ljust(NUMBER_DIGITS, "0")
    username, domain = LINE.split("@")
    line = Subscriber(0, username, domain, subject.account.id, Status.ACTIVE, HA1, "", "")
    call = invite(Question("", f"+{number}", LINE, at_ms=subject.at_ms, secret=SECRET))
    call = call._replace(credentials=proof(line, call, SECRET))
    domain_record = SipDomain(0, line.domain, subject.account.id, enabled=True)
    facts = tables.facts(SECRET, limits)._replace(
        records=_Records(tables, prefix, line, domain_record, is_guarded=True),
        rates=_Rates(classes, number[:BUCKET_DIGITS]),
        node=NODE,
    )
    decision = decide(call, facts)
    if _is_loss(decision):
        facts = facts._replace(records=_Records(tables, prefix, line, domain_record, is_guarded=False))
        told = _told_of_loss(decision, decide(call, facts), Draft(call, facts), subject)
    else:
        told = tuple(_told(decision, Draft(call, facts), subject))
    if subject.is_now:
        return told
    when = datetime.fromtimestamp(subject.at_ms / MS, UTC)
    return tuple(each._replace(when=f" on {when:%a %H:%M} UTC") for each in told)


def _allowed(account: Account) -> Account:
    return account._replace(
        status=Status.ACTIVE, lock=Lock.NONE, barred=(), barring_id=0, own_barring_id=0, blocked_in=(), blocked_out=()
    )


def _fitting(rules: PeeringRules) -> PeeringRules:
    kept = (rule for rule in rules.entries if not ((rule.block or rule.stopper) and _is_conditional(rule)))
    return PeeringRules(tuple(rule._replace(callee_pattern="", caller_pattern="") for rule in kept))


def _is_conditional(rule: PeeringRule) -> bool:
    return bool(rule.callee_pattern or rule.caller_pattern or rule.time_set_id)


def _told(decision: Decision | Need, draft: Draft, subject: Subject) -> Iterator[Told]:
    who = f"for {_named(subject.account)} by tariff {subject.tariff.id} ({subject.tariff.name})"
    if isinstance(decision, Route):
        yield from _losses(decision, draft)
    elif isinstance(decision, Reject) and decision.reason in ("no_rate", "forbidden", "no_exchange"):
        if decision.account_id != subject.account.id:
            yield Told("rate_gap", who, _last(decision))
    elif isinstance(decision, Reject):
        why = [f"{choice.name}: {choice.why}" for choice in decision.choices if choice.why]
        more = f" and {len(why) - REASONS_MAX} more" if len(why) > REASONS_MAX else ""
        yield Told("no_route", who, ("; ".join(why[:REASONS_MAX]) + more) or _last(decision))
    else:  # everything is known here, and the line proves itself
        raise OperatorError(f"a call of account {subject.account.id} could not be decided: {decision}")


def _is_loss(decision: Decision | Need) -> TypeGuard[Reject]:
    """Whether the loss guard refused it before any carrier was asked: it names who loses."""
    return isinstance(decision, Reject) and decision.reason == "no_route" and decision.account_id != 0


def _told_of_loss(loss: Reject, unguarded: Decision | Need, draft: Draft, subject: Subject) -> tuple[Told, ...]:
    """Return what is wrong with a call that somebody would lose by: in the guard's words where legs tell of no loss."""
    told = tuple(_told(unguarded, draft, subject))
    if any(each.kind == "negative_margin" for each in told):
        return told
    return (Told("negative_margin", f"at account {loss.account_id}", _last(loss)), *told)


def _losses(route: Route, draft: Draft) -> Iterator[Told]:
    """Yield each account that earns less by the expected call than it pays: its own parent, and its own carrier."""
    legs, targets = route.call.legs, route.targets
    call_s = next((choice.expected_s for choice in route.choices if not choice.why), draft.facts.limits.expected_s)
    above = {leg.payer_id: (leg, f"by tariff {leg.tariff_id}") for leg in legs}
    first = ((target.pinned.cost, target.pinned.name) for target in targets[:1])
    carrier = {deck.payer_id: (deck, f"to {name}") for deck, name in first if deck is not None}
    for leg in legs:
        paid = [payers[leg.payee_id] for payers in (above, carrier) if leg.payee_id in payers]
        yield from _loss(draft, leg, paid, call_s)


def _loss(draft: Draft, leg: PinnedLeg, paid: Sequence[tuple[PinnedLeg, str]], call_s: int) -> Iterator[Told]:
    """Yield the loss of whom `leg` pays, where it earns less than all that it pays: each with the words for to whom."""
    now_ms = draft.call.received_ms
    earned = cost(leg, call_s, now_ms)
    costs = [(cost(each, call_s, now_ms), each.currency, to) for each, to in paid]
    told = [compared(draft, micros, currency, leg.currency) for micros, currency, _ in costs]
    if earned < sum(micros for micros in told if micros is not None):
        spent = " and ".join(f"{amount(micros, currency)} {to}" for micros, currency, to in costs)
        what = f"earns {amount(earned, leg.currency)} by tariff {leg.tariff_id}, pays {spent} for {call_s} s"
        yield Told("negative_margin", f"at account {leg.payee_id}", what)


def _named(account: Account) -> str:
    kind = AccountKind(account.kind).name.lower() if account.kind in AccountKind.__members__.values() else "account"
    return f"{kind} {account.id} ({account.name})"


def _last(decision: Reject) -> str:
    return decision.trace[-1] if decision.trace else decision.reason
