"""Opens the money functions again after Redis was started, restarted or reloaded.

Redis refuses everything until it is armed for the epoch that Postgres knows. One process at a time, by an advisory
lock of Postgres:

1. the next epoch is `building`: from then on nobody can post but us;
2. the whole stream is read, groups ignored, and posted by unique id; unarmed, nobody adds to it, so it ends;
3. the nodes tell the highest operation that was answered to them, or had two seconds to;
4. FAST, a Redis that has applied operations: no fewer than the highest number known, charges and event numbers of
   every fund as in Postgres, holds as the open reservations say. Everything is kept;
   or a Redis that never applied one, where none is known to have been: it is new. Charges, if events that were set
   aside have any, come from Postgres, once the sync has brought the terms of every fund;
5. armed, and the epoch marked, in one transaction of Postgres.

Anything else stays unarmed, with a sentence on what differs or is lost, also a Redis that lost all: money would be
spent twice, so an operator decides, and runs `tandem recover` (slow.py).
A crash inside leaves the epoch `building`; whoever comes next begins again with a new one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final

from tools.news import News
from tools.settle.books import NO_WINDOWS, Books, Epoch
from tools.settle.cell import Cell
from tools.settle.poster import Outcome, post, unposted
from tools.settle.reconcile import charge_differences, charges_of, hold_differences, on_the_way
from tools.settle.stream import Stream

log = logging.getLogger("tandem.settle")

DIFFERENCES_SHOWN: Final = 5
NODES_DEADLINE_S: Final = 2.0  # a node that lives tells within a second after it found Redis again
POLL_S: Final = 0.05
ASK_AGAIN_S: Final = 5.0  # whether an operator has acted: comparing costs both stores something


class Rebuild:
    """One process's part in arming a cell. Not armed yet: `news.text` says why."""

    def __init__(self, books: Books, cell: Cell, stream: Stream) -> None:
        self._books = books
        self._cell = cell
        self._stream = stream
        self._building: Epoch | None = None
        self._began_s = 0.0
        self._not_before_s = 0.0
        self.news = News(log)

    def armed(self) -> Epoch | None:
        """Return the epoch for which Redis takes operations and which Postgres calls armed; None: there is none."""
        status = self._cell.status()
        believed = Epoch(status.epoch, "armed")
        return believed if status.armed and self._books.epoch() == believed else None

    def step(self) -> Epoch | None:
        """Do what can be done now; return the epoch once it is armed, by whomever.

        Raises StoreUnavailable, psycopg errors, EpochMovedError: to be called again.
        """
        if time.monotonic() < self._not_before_s:
            return None
        if not self._books.lead():
            self.news.trouble("Redis is not armed; another process is about it")
            return None
        found = self.armed()
        if found is not None:  # another one was faster
            self._books.step_down()
            return found
        epoch = self.begun()
        fault = self._fault(epoch)
        if fault:
            self.news.trouble(f"Redis is not armed: {fault}")
            if time.monotonic() < self._not_before_s:
                self._books.step_down()  # the operator's `tandem recover` needs the lock
            return None
        self._books.arm(epoch, self._cell.funds.arm)
        self._books.step_down()
        log.info("epoch %s is armed, %.2f s after its begin", epoch.number, time.monotonic() - self._began_s)
        return epoch._replace(state="armed")

    def begun(self) -> Epoch:
        """Return the epoch that is being built, begun and with the stream read if it was not."""
        if self._building is not None and self._books.epoch() == self._building:
            return self._building
        self._began_s = time.monotonic()
        status = self._cell.status()
        if status.armed:
            log.error("Redis is armed for epoch %s, which Postgres does not call armed: closing it", status.epoch)
            self._cell.disarm()
        epoch = self._books.begin_epoch(status.epoch, f"Redis was at epoch {status.epoch}, {status.opseq} operations")
        log.info("Redis is not armed (its epoch was %s): building epoch %s", status.epoch, epoch.number)
        asked_s = time.monotonic()
        self._cell.ask_nodes()
        total, known, dropped = Outcome(), 0, self._books.dropped()
        for entries in self._stream.whole():
            new = unposted(self._books, entries, dropped)
            known += len(entries) - len(new)
            total = total.plus(post(self._books, new, epoch))
        sentence = "read the whole stream: %s events posted before, %s others, %s new ledger entries, %s set aside"
        log.info(sentence, known, *total)
        self._hear_nodes(epoch, asked_s)
        self._building = epoch
        return epoch

    def _hear_nodes(self, epoch: Epoch, asked_s: float) -> None:
        """Note the highest operation that was answered to a node, once all have told or had their time to.

        What Redis lost since settlement looked last, only they know.
        """
        alive = self._books.nodes_alive()
        while not alive <= self._cell.seen().keys() and time.monotonic() - asked_s < NODES_DEADLINE_S:
            time.sleep(POLL_S)
        self._note(epoch)

    def _note(self, epoch: Epoch) -> None:
        opseq = max([self._cell.status().opseq, *self._cell.seen().values()])
        self._books.note_nodes(self._cell.nodes(), opseq, epoch)

    def _fault(self, epoch: Epoch) -> str:
        """Return why Redis must not be armed yet, "" when it may."""
        self._note(epoch)  # a node may have come back late
        opseq, known = self._cell.status().opseq, self._books.known_opseq()
        fault = ""
        if opseq < known:
            what = f"has applied {opseq} operations" if opseq else "is empty"
            fault = (
                f"Redis {what} and once answered {known}: {known - opseq} are lost,"
                " and with them holds of running calls"
            )
        elif opseq == 0:
            return self._restore()
        elif differences := self.differences():
            fault = f"it differs from Postgres: {_listed(differences)}"
        if fault:
            self._not_before_s = time.monotonic() + ASK_AGAIN_S
            return f"an operator must act, {fault}"
        log.info("Redis has kept everything (%s operations, %s were known): holds stay", opseq, known)
        return ""

    def _restore(self) -> str:
        """Bring charges and event numbers of every fund from Postgres; return what is missing for that."""
        names = self._books.funds()
        bare = [fund for fund, balance in self._cell.balances(names).items() if balance.terms is None]
        if bare:
            return f"waiting for tandem sync to bring the terms of {len(bare)} of {len(names)} funds"
        waiting = on_the_way(self._books, self._stream)
        charged = sorted({*self._books.posted(), *waiting.charges})
        windows = self._books.windows()
        for fund in charged:
            events = charges_of(self._books, fund, waiting)
            spent = windows.get(fund, NO_WINDOWS)
            self._cell.funds.restore_fund(fund, sum(events.values()), max(events), spent.day, spent.month)
        log.info("Redis is new: the charges of %s of %s funds came from Postgres", len(charged), len(names))
        return ""

    def differences(self) -> list[str]:
        """Return where holds and charges are not as Postgres and the open reservations say."""
        found = self._cell.snapshot(self._books.funds(), others_max=0)
        waiting = on_the_way(self._books, self._stream)
        charges = charge_differences(self._books, found.balances, waiting, is_still=True)
        return [*charges, *hold_differences(found)]


def _listed(differences: Sequence[str]) -> str:
    more = len(differences) - DIFFERENCES_SHOWN
    return "; ".join(differences[:DIFFERENCES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
