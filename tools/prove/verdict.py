"""Whether the money is right: the clients' log, Redis and Postgres compared, as numbers that must be zero. Pure.

Rule 1: what a client was told counts. A hold that was answered ends in one record; a price that was answered is in the
ledger, no more and no less.
Rule 2: only a cut tail excuses: what was asked between the start of that Redis and its death, at an operation number
above the one that it had afterwards. It is counted apart, never silently.
Rule 3: the end of a call that its client did not live to tell is the sweeper's guess: its record must be there, and its
money as Redis' own event says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tools.prove.journal import Answer, Intent
from tools.prove.watch import Breach

TAKEN: Final = frozenset({"Applied", "Replayed", "Held"})
DONE: Final = frozenset({"Applied", "Replayed"})
FINDINGS_MAX: Final = 20


class Cut(NamedTuple):
    """A Redis that lived from began_ms to died_ms and woke up with `opseq` operations."""

    began_ms: int
    died_ms: int
    opseq: int


class Record(NamedTuple):
    """What Postgres says of a call. paid: fund -> micros of all its ledger entries."""

    outcome: str
    seq: int
    is_late: bool


class FundFacts(NamedTuple):
    """One fund in the end. booked: credit that the office committed, opening balance included.

    missing: event numbers up to n_redis that Postgres has not.
    """

    charged_redis: int
    charged_posted: int
    n_redis: int
    n_posted: int
    missing: tuple[int, ...]
    cred_redis: int
    cred_postgres: int
    cred_ledger: int
    cred_late: int
    booked: int
    held: int
    channels: int


@dataclass(slots=True)
class Told:
    """What the log knows of one call. prices: of the end that counts. refused: why no hold was made.

    buried: the answer after which nothing may be held any more. unlike: answers that should have been others, each
    with what it contradicts; a cut of the first of both excuses it. first: of each operation.
    """

    funds: tuple[str, ...] = ()
    granted: Answer | None = None
    note: Answer | None = None
    end: Answer | None = None
    prices: Mapping[str, int] | None = None
    parted: Mapping[str, int] = field(default_factory=dict)
    late: bool = False
    refused: str = ""
    buried: Answer | None = None
    unlike: list[tuple[Answer, str]] = field(default_factory=list)
    first: dict[tuple[str, str], Answer] = field(default_factory=dict)


@dataclass(slots=True)
class Evidence:
    """Everything that is compared. paid: rid -> fund -> micros. ended, cut_ends: rid -> sequences of ending events.

    cut_numbers: fund -> numbers of events that a cut took away. differences: what `tandem settle --verify` says.
    """

    told: Mapping[str, Told]
    records: Mapping[str, Record]
    paid: Mapping[str, Mapping[str, int]]
    funds: Mapping[str, FundFacts]
    ended: Mapping[str, Sequence[int]] = field(default_factory=dict)
    cut_ends: Mapping[str, Sequence[int]] = field(default_factory=dict)
    cut_numbers: Mapping[str, Collection[int]] = field(default_factory=dict)
    cuts: Sequence[Cut] = ()
    breaches: Sequence[Breach] = ()
    open_rids: Sequence[str] = ()
    differences: Sequence[str] = ()


@dataclass(slots=True)
class Verdict:
    """The numbers; `is_clean` names those that must be zero. lost_*: what cut tails took, told apart."""

    overdraft_micros: int = 0
    forbidden_grants: int = 0
    lost_cdrs: int = 0
    duplicate_cdrs: int = 0
    drift_micros: int = 0
    stuck_holds: int = 0
    differences: int = 0
    grants: int = 0
    lost_by_cut: int = 0
    lost_by_cut_micros: int = 0
    lost_events: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Return whether everything is zero that must be."""
        wrong = (self.overdraft_micros, self.forbidden_grants, self.lost_cdrs, self.duplicate_cdrs)
        return not any((*wrong, self.drift_micros, self.stuck_holds, self.differences))

    def found(self, sentence: str) -> None:
        """Keep the first sentences for people."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(sentence)


def tell(lines: Iterable[Intent | Answer]) -> dict[str, Told]:
    """Return rid -> what is known of the call, from lines in the order of their time."""
    told: dict[str, Told] = {}
    prices: dict[tuple[str, str], Mapping[str, int]] = {}
    for line in lines:
        call = told.setdefault(line.rid, Told())
        if isinstance(line, Intent):
            call.funds = call.funds or line.funds
            if line.prices:
                prices[line.kind, line.op_id] = dict(zip(line.funds, line.prices, strict=True))
        else:
            _hear(call, line, prices.get((line.kind, line.op_id), {}))
    return told


def _hear(call: Told, line: Answer, prices: Mapping[str, int]) -> None:
    """Take an answer in. A late end stands above all others; else the first that ended the call does."""
    _compare(call, line)
    if line.kind == "reserve" and line.code in {"Held", "Replayed"}:
        call.granted = call.granted or line
    elif line.code == "Refused":
        call.refused = line.text
    elif line.code not in DONE:
        return
    elif line.kind == "part":
        call.parted = prices or call.parted
    elif line.kind == "note":
        call.note = call.note or line
    elif line.kind == "late":
        call.end, call.prices, call.late = (call.end if call.late else line), prices or call.prices, True
    elif line.kind in {"settle", "release"} and call.end is None:
        call.end = line
        call.prices = prices if line.kind == "settle" else call.parted


def _compare(call: Told, line: Answer) -> None:
    """Hold an answer against those before: nothing is applied twice, granted twice differently, or after its end."""
    before = call.first.setdefault((line.kind, line.op_id), line) if line.code in TAKEN else line
    if before is not line and line.code != "Replayed":
        call.unlike.append((before, f"{line.kind} {line.op_id} took place twice"))
        call.first[line.kind, line.op_id] = line
    elif before.granted_s != line.granted_s:
        call.unlike.append((before, f"{line.kind} {line.op_id} was told {before.granted_s} s, then {line.granted_s} s"))
    if call.buried and line.kind == "reserve" and line.code in {"Held", "Replayed"}:
        call.unlike.append((call.buried, f"{line.op_id} was held after its {call.buried.kind}"))
    if line.kind in {"release", "note"} and line.code in {*TAKEN, "Unknown"}:
        call.buried = call.buried or line


def judge(evidence: Evidence) -> Verdict:
    """Return the numbers of a run."""
    verdict = Verdict(grants=sum(call.granted is not None for call in evidence.told.values()))
    for breach in evidence.breaches:
        verdict.overdraft_micros += breach.micros
        verdict.forbidden_grants += not breach.micros
        verdict.found(f"fund {breach.fund}: {breach.what}, {breach.micros} micros below zero")
    for rid, call in evidence.told.items():
        for contradicted, sentence in call.unlike:
            if not _is_cut(contradicted, evidence.cuts):
                verdict.forbidden_grants += 1
                verdict.found(sentence)
        _judge_record(verdict, evidence, rid, call)
        _judge_price(verdict, evidence, rid, call)
    for rid in {*evidence.ended, *evidence.cut_ends}:
        _judge_ends(verdict, evidence, rid)
    excused = [fund for fund, facts in evidence.funds.items() if _judge_fund(verdict, evidence, fund, facts)]
    for rid in evidence.open_rids:
        verdict.stuck_holds += 1
        verdict.found(f"reservation {rid} is still open")
    known = tuple(f"I2: fund {fund}:" for fund in excused)
    for difference in evidence.differences:
        if known and difference.startswith(known):
            continue
        verdict.differences += 1
        verdict.found(f"settle --verify: {difference}")
    return verdict


def _is_cut(answer: Answer, cuts: Sequence[Cut]) -> bool:
    """Return whether an answer was given by a Redis that forgot it."""
    return any(cut.began_ms <= answer.asked_ms <= cut.died_ms and answer.opseq > cut.opseq for cut in cuts)


def _judge_record(verdict: Verdict, evidence: Evidence, rid: str, call: Told) -> None:
    """Miss the record of a call that was granted, or whose end or refusal was taken."""
    answers = [answer for answer in (call.granted, call.note, call.end) if answer is not None]
    if not answers or rid in evidence.records:
        return
    if all(_is_cut(answer, evidence.cuts) for answer in answers):
        verdict.lost_by_cut += 1
        return
    verdict.lost_cdrs += 1
    last = answers[-1]
    verdict.found(f"call {rid} has no record, though {last.kind} was answered with {last.code} at {last.opseq}")


def _judge_price(verdict: Verdict, evidence: Evidence, rid: str, call: Told) -> None:
    """Compare what was told of the price with the ledger. Of other ends the funds' sums are proof enough."""
    if call.end is None or call.prices is None:
        return
    paid, expected = evidence.paid.get(rid, {}), call.prices
    off = sum(abs(paid.get(fund, 0) - expected.get(fund, 0)) for fund in {*paid, *expected})
    if not off:
        return
    if _is_cut(call.end, evidence.cuts):
        verdict.lost_by_cut += rid in evidence.records  # without a record it is counted already
        verdict.lost_by_cut_micros += off
        return
    verdict.drift_micros += off
    verdict.found(f"call {rid}: {call.end.kind} said {dict(expected)}, the ledger has {dict(paid)}")


def _judge_ends(verdict: Verdict, evidence: Evidence, rid: str) -> None:
    """One event ends a reservation. One that a cut took away counts where Postgres had it before."""
    record = evidence.records.get(rid)
    ends = list(evidence.ended.get(rid, ()))
    posted = [seq for seq in evidence.cut_ends.get(rid, ()) if record is not None and seq == record.seq]
    more = len([*ends, *(seq for seq in posted if seq not in ends)]) - 1
    if more > 0:
        verdict.duplicate_cdrs += more
        verdict.found(f"call {rid} was ended {more + 1} times, by sequences {ends} and {posted} of a lost tail")


def _judge_fund(verdict: Verdict, evidence: Evidence, fund: str, facts: FundFacts) -> bool:
    """Compare a fund's sums and numbers; return whether it has a gap that a cut tail explains to the last number."""
    pairs = (
        ("charges", facts.charged_redis, facts.charged_posted),
        ("credit", facts.cred_redis, facts.cred_postgres),
        ("credit in the ledger", facts.cred_postgres, facts.cred_ledger),
        ("credit booked by the office", facts.cred_ledger - facts.cred_late, facts.booked),
    )
    for what, one, other in pairs:
        if one != other:
            verdict.drift_micros += abs(one - other)
            verdict.found(f"fund {fund}: {what} {one} and {other} differ")
    if facts.held or facts.channels:
        verdict.stuck_holds += 1
        verdict.found(f"fund {fund}: {facts.held} micros and {facts.channels} channels are held by nobody")
    lost = [number for number in facts.missing if number in evidence.cut_numbers.get(fund, ())]
    verdict.lost_events += len(lost)
    if facts.n_redis - len(lost) != facts.n_posted or len(lost) != len(facts.missing):
        verdict.differences += 1
        verdict.found(f"fund {fund}: Redis counted {facts.n_redis} events, Postgres has {facts.n_posted}")
        return False
    return bool(lost) and facts.charged_redis == facts.charged_posted
