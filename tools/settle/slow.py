"""Opens a Redis again that has lost operations: emptied, rolled back, of an old dump, promoted behind its primary.

A person must have said that the loss is accepted. Then, with the money functions closed and the whole stream read:

1. an open reservation whose call Postgres knows better (it has a record, or other charges) is voided. A record says
   `unknown_end` where there is none yet; the call's node is told so, ends the call and tells its real end late;
2. every fund's charges, event numbers and windows come from Postgres, its hold and channels from the reservations kept;
3. event numbers that nobody has an entry for are written down as lost;
4. everything is compared once more, the loss is written down (tandem.recovery), and Redis armed. It counts operations
   on from the highest number known, so that what nodes and Postgres know stays true.

What was granted in the lost operations and has no reservation any more is told late by its node, or by nobody if that
died too. A crash in between leaves the epoch `building`: the same command begins again with a new one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from kemi import codec
from kemi.adapters.redis_operations import Balance, Reservation
from kemi.records import CallEnd, CallEvent, PinnedCall
from tools.errors import OperatorError
from tools.settle.books import NO_WINDOWS, Books, Epoch, Poisoned
from tools.settle.cell import Cell, Snapshot
from tools.settle.entries import LATE
from tools.settle.postings import plan
from tools.settle.rebuild import Rebuild
from tools.settle.reconcile import NOTHING_TAKEN, charges_of, held_by, on_the_way, taken
from tools.settle.rows import Plan
from tools.settle.stream import Stream

LEAD_DEADLINE_S: Final = 30.0
TERMS_DEADLINE_S: Final = 30.0
POLL_S: Final = 0.2


class FundLoss(NamedTuple):
    """How the recovery changed a fund. events_lost: numbers that Redis had given and nobody knows any more."""

    fund: str
    charged_before_micros: int
    charged_micros: int
    held_before_micros: int
    held_micros: int
    events_lost: int


class Recovery(NamedTuple):
    """What was recovered. operations_lost: how far Redis was behind what Postgres had been told, so at least so many.

    kept, voided: open reservations. unreadable: of those voided, how many left no record, for their call cannot be
    read: its bytes are set aside. events_lost: over all funds.
    """

    epoch: int
    operations_lost: int
    kept: int
    voided: int
    unreadable: int
    events_lost: int
    funds: tuple[FundLoss, ...]

    def json(self) -> str:
        """Return it in one line of JSON."""
        return json.dumps({**self._asdict(), "funds": [fund._asdict() for fund in self.funds]})


class Slow:
    """One recovery over both stores."""

    def __init__(self, books: Books, cell: Cell, stream: Stream) -> None:
        self._books = books
        self._cell = cell
        self._stream = stream
        self._rebuild = Rebuild(books, cell, stream)

    def recover(self) -> Recovery:
        """Do all of it. Raises OperatorError where there is nothing to recover or something is missing for it."""
        self._lead()
        armed = self._rebuild.armed()
        if armed is not None:
            raise OperatorError(f"nothing is to be recovered: epoch {armed.number} is armed, calls are taken")
        epoch = self._rebuild.begun()
        known = self._books.known_opseq()
        behind = max(0, known - self._cell.status().opseq)
        names = self._terms()
        kept, voided, unreadable = self._sort_out(self._cell.snapshot(names, others_max=0), epoch)
        funds = self._recount(names, kept, epoch)
        differences = self._rebuild.differences()
        if differences:
            raise OperatorError(f"still not as Postgres says: {'; '.join(differences[:5])}")
        lost = sum(fund.events_lost for fund in funds)
        done = Recovery(epoch.number, behind, len(kept), voided, unreadable, lost, funds)
        # Before Redis is as it must be, for then settlement opens it by itself, and nobody would know what was lost.
        self._books.report(epoch, done.json())
        self._cell.raise_opseq(known)
        self._books.arm(epoch, self._cell.funds.arm)
        self._books.step_down()
        return done

    def _lead(self) -> None:
        deadline_s = time.monotonic() + LEAD_DEADLINE_S
        while not self._books.lead():
            if time.monotonic() > deadline_s:
                raise OperatorError("a tandem settle process is rebuilding; its log says how far it is")
            time.sleep(POLL_S)

    def _terms(self) -> list[str]:
        """Return all funds, once the sync has brought the newest terms of each."""
        deadline_s = time.monotonic() + TERMS_DEADLINE_S
        while True:
            credit = self._books.credits()
            found = self._cell.balances(list(credit))
            behind = [name for name, each in found.items() if each.terms is None or each.terms.cver != credit[name][0]]
            if not behind:
                return list(credit)
            if time.monotonic() > deadline_s:
                raise OperatorError(f"terms of {len(behind)} funds are missing or old: is tandem sync running?")
            time.sleep(POLL_S)

    def _sort_out(self, found: Snapshot, epoch: Epoch) -> tuple[dict[str, Reservation], int, int]:
        """Void what Postgres knows better; return what is kept, how many were voided, and unreadable."""
        open_ = found.open()
        posted = self._books.posted_of(sorted(open_))
        recorded = self._books.has_records(sorted(open_))
        kept: dict[str, Reservation] = {}
        unreadable = 0
        for rid, each in open_.items():
            if rid not in recorded and _charged(each) == posted.get(rid, {}):
                kept[rid] = each
                continue
            if rid not in recorded:
                unreadable += not self._record(rid, each, epoch)
            self._cell.funds.void(rid)
        return kept, len(open_) - len(kept), unreadable

    def _record(self, rid: str, found: Reservation, epoch: Epoch) -> bool:
        """Write a record for a call whose reservation goes; the late end that its node may tell replaces it.

        Return False where the call cannot be read, of a newer release or spoiled: its bytes are set aside.
        """
        try:
            call = codec.unpack(PinnedCall, found.pinned)
        except (ValueError, TypeError, RecursionError) as error:
            reason = f"reservation {rid} was given up at a recovery, and its call cannot be read: {error}"
            self._books.post([], [Poisoned(f"recovery of {rid}", reason, found.pinned)], epoch)
            return False
        sentence = "Redis had lost what this call had paid; its hold was given up at the recovery"
        end = CallEnd("unknown_end", self._cell.now_ms(), 0, 0, 0, 0, "lost_hold", 0, "sweeper", trace=(sentence,))
        made = plan(CallEvent(LATE, epoch.number, rid, found.seq + 1, (), call, end))
        if isinstance(made, Plan):
            self._books.post([made], [], epoch)
        else:
            self._books.post([], [Poisoned(f"recovery of {rid}", made.reason, found.pinned)], epoch)
        return isinstance(made, Plan)

    def _recount(self, names: list[str], kept: Mapping[str, Reservation], epoch: Epoch) -> tuple[FundLoss, ...]:
        """Set every fund that is not as it must be; return those."""
        waiting, windows = on_the_way(self._books, self._stream), self._books.windows()
        known_lost, due = self._books.losses(), taken(kept.values())
        changed: list[FundLoss] = []
        for name, balance in self._cell.balances(names).items():
            events = charges_of(self._books, name, waiting)
            charged, n = sum(events.values()), max(events, default=0)
            lost = n - len(events) - known_lost.get(name, 0)
            holds = due.get(name, NOTHING_TAKEN)
            if (charged, n) == (balance.charged_micros, balance.n) and holds == held_by(balance) and not lost:
                continue
            spent = windows.get(name, NO_WINDOWS)
            self._cell.funds.restore_fund(name, charged, n, spent.day, spent.month)
            self._cell.funds.recount(name, holds.micros, holds.channels, holds.channels_out, holds.channels_in)
            if lost:
                self._books.give_up(name, epoch, lost)
            changed.append(_loss(balance, charged, holds.micros, lost))
        return tuple(changed)


def _charged(found: Reservation) -> dict[str, int]:
    """Return fund -> what parts have charged, without zeros."""
    return {fund: micros for fund, micros in zip(found.funds, found.posted, strict=False) if micros}


def _loss(balance: Balance, charged_micros: int, held_micros: int, lost: int) -> FundLoss:
    before = (balance.fund, balance.charged_micros, charged_micros, balance.held_micros, held_micros)
    return FundLoss(*before, lost)
