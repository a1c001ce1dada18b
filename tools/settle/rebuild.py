"""Opens the money functions again after Redis was started, restarted, reloaded, emptied, rolled back or replaced.

Redis refuses everything until it is armed for the epoch that Postgres knows. One process at a time, by an advisory
lock of Postgres:

1. the next epoch is `building`: from then on nobody can post but us;
2. the whole stream is read, groups ignored, and posted by unique id; unarmed, nobody adds to it, so it ends;
3. the nodes tell the highest operation that was answered to them, or had two seconds to;
4. FAST, a Redis that has lost nothing: no fewer operations than the highest number known, charges and event numbers of
   every fund as in Postgres, holds as the open reservations say. Everything is kept;
5. SLOW, any other one: Redis becomes what Postgres and the nodes know, see slow.py;
6. armed, and the epoch marked, in one transaction of Postgres.

Nobody has to ask for it. An operator is asked where Postgres itself is in the past (past.py), or where two rebuilds in
a row end in differences. Every step is a row of tandem.recovery_step, which `tandem recover` shows.
A crash inside leaves the epoch `building`; whoever comes next begins again with a new one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final

from tools.news import News
from tools.settle.books import Books, Epoch
from tools.settle.cell import Cell
from tools.settle.past import in_the_past, past
from tools.settle.poster import Outcome, post, unposted
from tools.settle.progress import ARMED
from tools.settle.reconcile import aside, charge_differences, credit_faults, hold_differences
from tools.settle.slow import DiffersError, GoneError, Slow
from tools.settle.stream import Stream

log = logging.getLogger("tandem.settle")

DIFFERENCES_SHOWN: Final = 5
NODES_DEADLINE_S: Final = 2.0  # a node that lives tells within a second after it found Redis again
POLL_S: Final = 0.1
STAND_BY_S: Final = 0.2
ASK_AGAIN_S: Final = 5.0  # whether an operator has acted
DIFFERS_MAX: Final = 2  # rebuilds in a row that end in differences; the next ones wait for somebody to look


class Rebuild:
    """One process's part in arming a cell. Not armed yet: `news.text` says why.

    silence_s: slice and grace, after which a node that says nothing carries no call on. is_stuck: nothing goes on until
    an operator has acted.
    """

    def __init__(self, books: Books, cell: Cell, stream: Stream, silence_s: float) -> None:
        self._books = books
        self._cell = cell
        self._stream = stream
        self._silence_s = silence_s
        self._building: Epoch | None = None
        self._slow: Slow | None = None
        self._differed = 0
        self._is_in_present = False
        self._began_s = 0.0
        self._not_before_s = 0.0
        self.is_stuck = False
        self.news = News(log)

    def armed(self) -> Epoch | None:
        """Return the epoch for which Redis takes operations and which Postgres calls armed; None: there is none.

        None too where Postgres is in the past, which is looked at once per connection: it cannot go back under one.
        """
        if not self._is_in_present:
            return None
        status = self._cell.status()
        believed = Epoch(status.epoch, "armed")
        return believed if status.armed and self._books.epoch() == believed else None

    def step(self) -> Epoch | None:
        """Do what can be done now; return the epoch once it is armed, by whomever.

        Raises StoreUnavailable, psycopg errors, EpochMovedError: to be called again.
        """
        if time.monotonic() < self._not_before_s:
            return None
        self.is_stuck = self._is_frozen()
        if self.is_stuck:
            return None
        found = None if self._books.leads else self.armed()
        if found is None and self._lead():
            found = self._build()
        return found

    def _lead(self) -> bool:
        """Return whether it is for this process to rebuild."""
        if self._books.leads:
            return True
        if not self._books.lead():
            self._not_before_s = time.monotonic() + STAND_BY_S
            self.news.trouble("Redis is not armed; another process is about it")
            return False
        if self.armed() is None:
            return True
        self._books.step_down()  # the leader before has come to the end
        return False

    def _build(self) -> Epoch | None:
        """Go on with the rebuild; return its epoch once it is armed."""
        epoch = self._begun()
        try:
            waits = self._work(epoch)
            self._insist(epoch)
            if not waits:
                return self._open(epoch)
        except DiffersError as error:
            self._give_way(epoch, error)
            return None
        except GoneError:
            self._building = self._slow = None
            self._note(epoch, "gone", "another Redis took its place, or it lost what was done so far; beginning again")
            return None
        self.news.trouble(f"Redis is not armed: {waits}")
        return None

    def _insist(self, epoch: Epoch) -> None:
        """Raise GoneError where the Redis of now is not the one whose stream was read, as after a failover."""
        if not self._cell.is_begun(epoch.number):
            raise GoneError

    def _is_frozen(self) -> bool:
        """Tell of a Postgres in the past, if it is; the lock is free meanwhile, for the operator's command."""
        if self._is_in_present:
            return False
        found = past(self._books, self._cell)
        self._is_in_present = not found
        if not found:
            return False
        self.news.trouble(in_the_past(found))
        self._wait()
        return True

    def _begun(self) -> Epoch:
        """Return the epoch that is being built, begun and with the stream read if it was not."""
        if self._building is not None and self._books.epoch() == self._building:
            return self._building
        self._slow = None
        self._began_s = time.monotonic()
        status = self._cell.status()
        if status.armed:
            log.error("Redis is armed for epoch %s, which Postgres does not call armed: closing it", status.epoch)
        asked_s = time.monotonic()
        # Before the epoch begins: a Redis that takes no writes yet, a replica or a primary without one, is waited for.
        self._cell.disarm()  # also the key of an old dump: nodes that find none tell ten times a second
        self._cell.dismiss_nodes()
        self._cell.ask_nodes()
        said = f"Redis was at epoch {status.epoch}, {status.opseq} operations"
        epoch = self._books.begin_epoch(status.epoch, said)
        log.info("Redis is not armed (its epoch was %s): building epoch %s", status.epoch, epoch.number)
        self._cell.begin(epoch.number)
        self._note(epoch, "begun", said)
        self._read(epoch)
        self._hear_nodes(epoch, asked_s)
        self._building = epoch
        return epoch

    def _read(self, epoch: Epoch) -> None:
        """Post what stands in the stream and not in Postgres."""
        total, known, dropped = Outcome(), 0, self._books.given_up.dropped()
        for entries in self._stream.whole():
            new = unposted(self._books, entries, dropped)
            known += len(entries) - len(new)
            total = total.plus(post(self._books, new, epoch))
        sentence = "read the whole stream: {} events posted before, {} others, {} new ledger entries, {} set aside"
        said = sentence.format(known, *total)
        log.info(said)
        self._note(epoch, "read", said)

    def _hear_nodes(self, epoch: Epoch, asked_s: float) -> None:
        """Note the highest operation that was answered to a node, once all have told or had their time to.

        What Redis lost since settlement looked last, only they know. They need not be heard where Postgres knows of a
        loss: they are called then. It may be so far in the past that it knows other nodes, or none: those count that
        Redis knows as well, and where nothing at all is known, all that may still carry a call get their time.
        """
        opseq, known = self._cell.status().opseq, self._books.known_opseq()
        alive = self._books.nodes_alive() | self._cell.nodes_alive()
        until_s = asked_s + min(NODES_DEADLINE_S, self._silence_s)
        while opseq >= known and time.monotonic() < until_s:
            seen = self._cell.seen()
            known = max([known, *seen.values()])
            if known and alive <= seen.keys():
                break
            time.sleep(POLL_S)
        self._note_nodes(epoch)

    def _note_nodes(self, epoch: Epoch) -> None:
        opseq = max([self._cell.status().opseq, *self._cell.seen().values()])
        self._books.note_nodes(self._cell.nodes(), opseq, epoch)

    def _work(self, epoch: Epoch) -> str:
        """Do what can be done now; return what is waited for, "" where Redis may be armed. Raises DiffersError."""
        if self._slow is None:
            self._note_nodes(epoch)  # one may have come back late
            loss = self._loss()
            if not loss:
                opseq = self._cell.status().opseq
                self._note(epoch, "fast", f"Redis has kept everything, {opseq} operations: holds and charges stay")
                return ""
            log.info("Redis is filled with what Postgres and the nodes know: %s", loss)
            self._note(epoch, "slow", loss)
            self._slow = Slow(self._books, self._cell, epoch, self._silence_s)
        waits = self._slow.step()
        if not waits:
            self._compare()
        return waits

    def _loss(self) -> str:
        """Return why Redis cannot go on with what it has, "" when it can."""
        opseq, known = self._cell.status().opseq, self._books.known_opseq()
        if opseq < known:
            what = f"has applied {opseq} operations" if opseq else "is empty"
            return f"Redis {what} and once answered {known}: {known - opseq} are lost, with holds of running calls"
        if not opseq:
            return "Redis is new: it has applied no operation, and none is known"
        differences = self._differences()
        return f"Redis differs from Postgres: {_listed(differences)}" if differences else ""

    def _compare(self) -> None:
        """Raise DiffersError where what was rebuilt is not as it must be."""
        differences = self._differences()
        if differences:
            raise DiffersError(_listed(differences))

    def _differences(self) -> list[str]:
        """Return where holds, charges and credits are not as Postgres and the open reservations say."""
        found = self._cell.snapshot(self._books.funds(), others_max=0)
        charges = charge_differences(self._books, found.balances, aside(self._books), is_still=True)
        return [*charges, *hold_differences(found), *credit_faults(self._books.credits(), found.balances)]

    def _give_way(self, epoch: Epoch, error: DiffersError) -> None:
        """Begin again after a rebuild that has ended in differences; not at once where that was no better before."""
        self._building = self._slow = None
        self._differed += 1
        self._note(epoch, "differs", f"the rebuild ended in differences: {error}")
        said = f"Redis is not armed: rebuilt, it still differs from Postgres: {error}"
        if self._differed < DIFFERS_MAX:
            self.news.trouble(f"{said}; beginning again")
            return
        self.is_stuck = True
        self.news.trouble(f"{said}; an operator must act, that was {self._differed} times in a row")
        self._wait()

    def _wait(self) -> None:
        self._not_before_s = time.monotonic() + ASK_AGAIN_S
        self._books.step_down()

    def _open(self, epoch: Epoch) -> Epoch:
        self._books.arm(epoch, self._arm)
        self._cell.dismiss_nodes()
        took_s = time.monotonic() - self._began_s
        self._note(epoch, ARMED, f"calls are taken again, {took_s:.2f} s after the beginning")
        self._books.step_down()
        self._building = self._slow = None
        self._differed = 0
        log.info("epoch %s is armed, %.2f s after its begin", epoch.number, took_s)
        return epoch._replace(state="armed")

    def _arm(self, number: int) -> None:
        """Arm Redis. Raises GoneError where it lost at the last moment what was done so far: Postgres arms nothing."""
        if not self._cell.open(number):
            raise GoneError

    def _note(self, epoch: Epoch, step: str, said: str) -> None:
        self._books.progress.note(epoch.number, step, said)


def _listed(differences: Sequence[str]) -> str:
    more = len(differences) - DIFFERENCES_SHOWN
    return "; ".join(differences[:DIFFERENCES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
