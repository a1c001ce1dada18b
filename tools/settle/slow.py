"""Makes a Redis that has lost operations equal to what Postgres and the nodes know.

It was emptied, rolled back, replaced, or promoted behind its primary, and stays closed until it is right. Part of
rebuild.py; the stream is read already.

1. every node is asked to tell its live calls (`Cell.call_nodes`): reservations that are there play the old ones;
2. charges, event numbers and windows of every fund come from Postgres, with those of events that are set aside;
3. nobody goes on before the terms of every fund are there, which sync brings, and before each node has told its calls
   or was silent for slice and grace;
4. open reservations: told ones stay, and those of silent nodes with their lease; what they have paid in parts is what
   Postgres has posted, whoever has lost an event or an answer. Voided are those whose end Postgres has, and those that
   a node which has told does not know. A record says `unknown_end` where there is none; a node that carries the call
   on learns it from its next operation, ends the call and tells its real end late;
5. holds and channels of every fund are those of the reservations that are left, also of those that only count the
   calls of a line or user, of which Postgres knows nothing; event numbers that nobody has an entry for are written down
   as lost;
6. what was lost is written down (tandem.recovery), and operations are counted on from the highest number known, so that
   what nodes and Postgres know stays true.

Every part may be done again: whoever finds it half done begins from the first one, with a new epoch.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final, NamedTuple

from kemi import codec, keys
from kemi.adapters import redis_functions
from kemi.adapters.redis_operations import Balance, Reservation
from kemi.core.rating import by_fund, charges, cost, legs_at
from kemi.records import CallEnd, CallEvent, PinnedCall
from tools.settle.books import NO_WINDOWS, NOTHING_PAID, Books, Epoch, Paid, Poisoned
from tools.settle.cell import Cell, FundSums, Holds
from tools.settle.entries import LATE
from tools.settle.poster import UNSTORABLE, sentence
from tools.settle.postings import plan
from tools.settle.reconcile import NOTHING_TAKEN, Known, Taken, aside, held_by, known_charges, taken
from tools.settle.rollcall import RollCall, Signs
from tools.settle.rows import Plan

TURN_S: Final = 0.25  # how long a step waits for nodes before it says so
POLL_S: Final = 0.05
NOTHING_KNOWN: Final = Known(0, 0, 0, 0)


class DiffersError(Exception):
    """What was rebuilt is not as it must be: to be done once more, with a new epoch."""


class GoneError(Exception):
    """Redis has lost what was done in this rebuild: it was restarted, or another one took its place."""


class FundLoss(NamedTuple):
    """How the rebuild changed a fund. events_lost: numbers that Redis had given and nobody knows any more.

    unproven_events, unproven_micros: what Redis had charged beyond all that anybody knows; it is charged no more.
    """

    fund: str
    charged_before_micros: int
    charged_micros: int
    held_before_micros: int
    held_micros: int
    events_lost: int
    unproven_events: int = 0
    unproven_micros: int = 0


class Recovery(NamedTuple):
    """What was rebuilt. operations_lost: how far Redis was behind what it had answered, so at least so many.

    told: open reservations that nodes have told of; kept: those of silent nodes; voided: the others. amended: of those
    told or kept, how many have paid other parts than they said. unreadable: of those voided, how many left no record,
    for their call cannot be read: its bytes are set aside. events_lost: over all funds. silent: nodes that told none.
    """

    epoch: int
    operations_lost: int
    told: int
    kept: int
    amended: int
    voided: int
    unreadable: int
    events_lost: int
    silent: tuple[str, ...]
    funds: tuple[FundLoss, ...]

    def json(self) -> str:
        """Return it in one line of JSON."""
        return json.dumps({**self._asdict(), "funds": [fund._asdict() for fund in self.funds]})


class _Sorted(NamedTuple):
    """What becomes of the open reservations."""

    kept: Mapping[str, Reservation]
    told: int
    amended: int
    voided: int
    unreadable: int


class Slow:
    """One rebuild of one epoch, whose stream is read. silence_s: slice and grace."""

    def __init__(self, books: Books, cell: Cell, epoch: Epoch, silence_s: float) -> None:
        self._books = books
        self._cell = cell
        self._epoch = epoch
        self._silence_s = silence_s
        self._is_new = not books.known_opseq()  # nobody was ever answered, so nobody carries a call
        self._roll: RollCall | None = None
        self._before: dict[str, Balance] = {}
        self._has_terms = False
        self._waited = ""

    def step(self) -> str:
        """Do what can be done now; return what is waited for, "" when all is done but the arming. Raises GoneError."""
        if self._roll is not None and not self._is_new and self._cell.status().building != self._epoch.number:
            raise GoneError
        roll = self._roll or self._begin()
        waits = ("" if self._has_terms else self._terms_missing()) or self._nodes_missing(roll)
        if waits:
            if waits != self._waited:
                self._note("waiting", waits)
            self._waited = waits
            return waits
        self._finish(roll)
        return ""

    def _begin(self) -> RollCall:
        """Call the nodes, and bring the charges meanwhile."""
        redis_functions.load(self._cell.client)  # those of a release before know no roll call
        roll = self._call_nodes()
        names = self._books.funds()
        self._before = self._cell.balances([*names, *self._cell.counters()])
        known, windows = known_charges(self._books, aside(self._books)), self._books.windows()
        sums = []
        for name, balance in self._before.items():
            has = known.get(name, NOTHING_KNOWN)
            if (has.micros, has.n) != (balance.charged_micros, balance.n):
                spent = windows.get(name, NO_WINDOWS)
                sums.append(FundSums(name, has.micros, has.n, spent.day, spent.month))
        self._cell.restore(sums)
        self._note("charged", f"the charges of {len(sums)} of {len(names)} funds came from Postgres")
        self._roll = roll
        return roll

    def _call_nodes(self) -> RollCall:
        if self._is_new:
            return RollCall(self._epoch.number, {}, Signs(0, {}, frozenset()), 0.0, time.monotonic())
        self._cell.call_nodes(self._epoch.number)
        signs, known = self._cell.signs_of_nodes(), self._books.nodes_seen()
        roll = RollCall(self._epoch.number, known, signs, self._silence_s, time.monotonic())
        asked = ", ".join(sorted(roll.expected)) or "no node, for none was heard of lately,"
        self._note("called", f"asked {asked} to tell what calls are live")
        return roll

    def _terms_missing(self) -> str:
        """Return which terms sync has to bring yet, "" when those of every fund are there, and new."""
        credit = self._books.credits()
        found = self._cell.balances(list(credit))
        behind = sum(each.terms is None or each.terms.cver != credit[name][0] for name, each in found.items())
        self._has_terms = not behind
        return f"waiting for tandem sync to bring the terms of {behind} of {len(credit)} funds" if behind else ""

    def _nodes_missing(self, roll: RollCall) -> str:
        """Return which nodes are waited for, after giving them a moment."""
        began_s = time.monotonic()
        while True:
            now_s = time.monotonic()
            missing = roll.missing(self._cell.adopted(), now_s)
            if not missing:
                return ""
            if now_s - began_s > TURN_S:
                roll.see(self._cell.signs_of_nodes(), now_s)
                return f"waiting for {', '.join(sorted(missing))} to tell their calls"
            time.sleep(POLL_S)

    def _finish(self, roll: RollCall) -> None:
        """Sort the reservations out, count the funds, and write down what was lost."""
        self._cell.dismiss_nodes()  # who tells now would not be counted any more
        roll.missing(self._cell.adopted(), time.monotonic())
        told = ", ".join(f"{node} {calls}" for node, calls in sorted(roll.told.items())) or "no node"
        self._note("told", f"calls told: {told}" + (f"; silent: {', '.join(roll.silent)}" if roll.silent else ""))
        sorted_ = self._sort_out(roll)
        self._note(
            "sorted",
            f"of the open reservations {sorted_.told} were told, {len(sorted_.kept) - sorted_.told} of silent nodes are"
            f" kept, {sorted_.voided} given up; parts of {sorted_.amended} are as Postgres has them",
        )
        funds = self._count(sorted_.kept)
        known = self._books.known_opseq()
        done = Recovery(
            self._epoch.number,
            max(0, known - self._cell.status().opseq),
            sorted_.told,
            len(sorted_.kept) - sorted_.told,
            sorted_.amended,
            sorted_.voided,
            sorted_.unreadable,
            sum(fund.events_lost for fund in funds),
            roll.silent,
            funds,
        )
        # Before Redis is as it must be, for then another rebuild would be a fast one, and nobody knew what was lost.
        if not self._is_new:
            self._books.progress.report(self._epoch.number, done.json())
        self._note("counted", f"{len(funds)} funds changed, {done.events_lost} events are lost")
        self._cell.raise_opseq(known)

    def _sort_out(self, roll: RollCall) -> _Sorted:
        """Void what Postgres or its own node knows better, amend what it knows of parts; say what is left."""
        open_ = self._cell.open_reservations()
        paid = self._books.paid_of(sorted(open_))
        recorded = self._books.has_records(sorted(open_))
        kept: dict[str, Reservation] = {}
        unproven: dict[str, Reservation] = {}
        amended = 0
        for rid, each in open_.items():
            if rid in recorded:
                continue
            is_known = each.adopted_epoch == self._epoch.number or each.node not in roll.told
            found = as_paid(each, paid.get(rid, NOTHING_PAID)) if is_known else None
            if found is None:
                unproven[rid] = each
                continue
            if found is not each:
                self._cell.funds.amend(rid, found.seq, found.billed_s, found.posted)
                amended += 1
            kept[rid] = found
        unreadable = self._record(unproven)
        self._cell.void([rid for rid in open_ if rid not in kept])
        told = sum(each.adopted_epoch == self._epoch.number for each in kept.values())
        return _Sorted(kept, told, amended, len(open_) - len(kept), unreadable)

    def _record(self, unproven: Mapping[str, Reservation]) -> int:
        """Write records for calls whose reservations go; the late end that their nodes may tell replaces them.

        Return how many calls cannot be read, of a newer release or spoiled: their bytes are set aside.
        """
        now_ms = self._cell.now_ms()
        made = {rid: _given_up(rid, each, self._epoch.number, now_ms) for rid, each in unproven.items()}
        plans = {rid: each for rid, each in made.items() if isinstance(each, Plan)}
        poisoned = [
            Poisoned(f"recovery of {rid}", each, unproven[rid].pinned)
            for rid, each in made.items()
            if isinstance(each, str)
        ]
        try:
            self._books.post(list(plans.values()), poisoned, self._epoch)
        except UNSTORABLE:
            for rid, each in plans.items():
                poisoned += self._record_alone(rid, each, unproven[rid].pinned)
            self._books.post([], poisoned, self._epoch)
        return len(poisoned)

    def _record_alone(self, rid: str, made: Plan, pinned: bytes) -> list[Poisoned]:
        """Write one record; return it as set aside where Postgres does not take it."""
        try:
            self._books.post([made], [], self._epoch)
        except UNSTORABLE as error:
            return [Poisoned(f"recovery of {rid}", sentence(error), pinned)]
        return []

    def _count(self, kept: Mapping[str, Reservation]) -> tuple[FundLoss, ...]:
        """Let every fund hold what its reservations take; write down what is lost. Return the funds that changed."""
        known, due = known_charges(self._books, aside(self._books)), taken(kept.values())
        told = self._cell.balances([name for name in due if keys.counts_only(name) and name not in self._before])
        all_before = {**self._before, **told}
        now = self._cell.balances(list(all_before))
        holds = []
        changed: list[FundLoss] = []
        for name, before in all_before.items():
            has, takes = known.get(name, NOTHING_KNOWN), due.get(name, NOTHING_TAKEN)
            if takes != held_by(now[name]):
                holds.append(_holds(name, takes))
            if keys.counts_only(name):
                continue
            lost = has.n - has.events - has.lost
            if lost:
                self._books.given_up.add(name, self._epoch.number, lost)
            loss = _loss(before, has, takes, lost)
            if loss is not None:
                changed.append(loss)
        self._cell.recount(holds)
        return tuple(changed)

    def _note(self, step: str, said: str) -> None:
        self._books.progress.note(self._epoch.number, step, said)


def as_paid(found: Reservation, paid: Paid) -> Reservation | None:
    """Return an open reservation with the parts that Postgres has posted: itself where it says the same.

    None where no talk costs what is posted, or what is held does not pay for it.
    """
    posted = tuple(paid.micros.get(fund, 0) for fund in found.funds)
    if not (any(posted) or paid.earned or any(found.posted)):
        return found
    is_covered = all(micros <= held for micros, held in zip(posted, found.held, strict=True))
    is_talk = found.state == "answered" or not any(posted)
    billed_s = _billed_s(found, posted, paid.earned) if is_covered and is_talk else None
    if billed_s is None:
        return None
    if (posted, billed_s) == (tuple(found.posted), found.billed_s):
        return found
    return found._replace(posted=posted, billed_s=billed_s, seq=max(found.seq, paid.seq))


def _billed_s(found: Reservation, posted: tuple[int, ...], earned: Mapping[tuple[int, str], int]) -> int | None:
    """Return seconds of talk that cost, and earn, what is posted: those of the reservation, else the fewest.

    None: there are none. Earnings tell them apart where a fund pays little in its own currency for many of another one.
    """
    try:
        call = codec.unpack(PinnedCall, found.pinned)
    except (ValueError, TypeError, RecursionError):
        return None
    paid = legs_at(call.legs, call.targets, found.place)
    legs, answered_ms = by_fund(paid, found.funds), found.node_answered_ms or found.answered_ms
    payees = sorted(earned)

    def moved(talk_s: int) -> tuple[int, ...]:
        income = dict.fromkeys(payees, 0)
        for leg in paid:
            payee = leg.payee_id, leg.currency
            if leg.fund and payee in income:
                income[payee] += cost(leg, talk_s, answered_ms)
        return (*charges(legs, talk_s, answered_ms), *(income[payee] for payee in payees))

    due = (*posted, *(earned[payee] for payee in payees))
    if moved(found.billed_s) == due:
        return found.billed_s

    def is_enough(talk_s: int) -> bool:
        return all(has >= wanted for has, wanted in zip(moved(talk_s), due, strict=True))

    billed_s = bisect_left(range(found.granted_s + 1), x=True, key=is_enough)
    return billed_s if moved(billed_s) == due else None


def _given_up(rid: str, found: Reservation, epoch: int, now_ms: int) -> Plan | str:
    """Return the record of a call whose reservation goes, or why there can be none."""
    try:
        call = codec.unpack(PinnedCall, found.pinned)
    except (ValueError, TypeError, RecursionError) as error:
        return f"reservation {rid} was given up at a recovery, and its call cannot be read: {error}"
    why = "Redis had lost what this call had paid, or its node did not know it any more; its hold was given up"
    end = CallEnd("unknown_end", now_ms, 0, 0, 0, 0, "lost_hold", 0, "sweeper", trace=(why,))
    made = plan(CallEvent(LATE, epoch, rid, found.seq + 1, (), call, end))
    return made if isinstance(made, Plan) else made.reason


def _holds(fund: str, takes: Taken) -> Holds:
    return Holds(fund, takes.micros, takes.channels, takes.channels_out, takes.channels_in)


def _loss(before: Balance, has: Known, takes: Taken, lost: int) -> FundLoss | None:
    """Return how a fund changed, None where it did not."""
    same = (has.micros, has.n) == (before.charged_micros, before.n) and takes == held_by(before)
    if same and not lost:
        return None
    unproven = before.n - has.n
    money = max(0, before.charged_micros - has.micros) if unproven > 0 else 0
    return FundLoss(
        before.fund, before.charged_micros, has.micros, before.held_micros, takes.micros, lost, max(0, unproven), money
    )
