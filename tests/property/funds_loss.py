"""A store of money that loses what it had: what Postgres has of it, and how settlement and the nodes make it right.

Settlement here is a few lines over the model of test_funds_machine.py; tools/settle is the real one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi import codec
from kemi.adapters.redis_funds import Applied, Late, Rehold, Release, Replayed, Settle
from kemi.core.outcome import IN, OUT
from kemi.records import CallEvent
from tests.funds_bench import EPOCH, NODE, Bench, ended, pinned
from tests.property.funds_model import Model

OPS_KEPT: Final = 4


class Dump(NamedTuple):
    """What stood in the store. opened, turns: of the model, then."""

    stored: object
    opened: dict[str, int]
    turns: dict[int, int]


class Office:
    """Postgres and who works with it. posted: what it has of streams that are gone.

    reread: how much of the stream that is there stands in `posted`. billed: of each part, the seconds. losses: how
    often the store has lost something.
    """

    def __init__(self, bench: Bench, model: Model) -> None:
        self.bench = bench
        self.model = model
        self.epoch = EPOCH
        self.posted: list[CallEvent] = []
        self.reread = 0
        self.billed: dict[tuple[str, int], int] = {}
        self.losses = 0
        self.blank = self.dump = Dump(bench.remember(), dict(model.opened), {})

    def events(self) -> list[CallEvent]:
        """Return all events that anybody knows."""
        return [*self.posted, *self.bench.events()[self.reread :]]

    def save(self) -> None:
        """Write a dump."""
        self.dump = Dump(self.bench.remember(), dict(self.model.opened), dict(self.model.turns))

    def lose(self, *, is_emptied: bool, is_read: bool) -> None:
        """Lose everything, or what came after the dump, and make the store right.

        is_read: Postgres had read the stream to its end; if not, charges are lost for good, and told late. A dump of
        before then belongs to another life, in which its events have happened: it does not come back.
        """
        lost, opseq = self.blank if is_emptied else self.dump, self.bench.funds.status().opseq
        self.posted = self.events() if is_read else self.posted
        self.bench.roll_back(lost.stored)
        self.losses, self.model.turns = self.losses + 1, dict(lost.turns)
        self._read_the_stream()
        self.epoch += 1
        self.bench.call_nodes(self.epoch)
        self._tell_calls()
        self.bench.call_nodes(0)
        self._sort_out()
        self._recount(lost)
        self.bench.raise_opseq(opseq)
        self.bench.keeper.arm(self.epoch)
        self._repeat_all()
        if not is_read:
            self.save()

    def _read_the_stream(self) -> None:
        """Post what came back with a dump and is not posted yet; from now on only what is added counts."""
        known = {(event.rid, event.seq, event.kind) for event in self.posted}
        stream = self.bench.events()
        self.posted += [event for event in stream if (event.rid, event.seq, event.kind) not in known]
        self.reread = len(stream)

    def _tell_calls(self) -> None:
        """Let each node tell its calls as Redis has answered them."""
        for rid, call in self.model.calls.items():
            if call.is_open:
                talked_ms = 1_000 if call.is_answered else None
                known = (call.funds, call.sides, call.granted_s, call.held, call.posted, call.billed_s, talked_ms)
                told = Rehold(f"{rid}:0", rid, call.seq, self.epoch, 60, codec.pack(pinned(rid)), *known)
                told = told._replace(place=call.place, joins=call.joins)
                assert isinstance(self.bench.rehold_of(call.node, [told])[0], Applied)

    def _sort_out(self) -> None:
        """End what no node told; say what Postgres has of the parts of the others."""
        for rid in self.bench.keeper.of_node(limit=1000).rids:
            if not self.model.calls[rid].is_open:
                self.bench.keeper.void(rid)
        for rid, call in self.model.calls.items():
            parts = [event for event in self.posted if event.rid == rid and event.kind == "part"]
            if call.is_open and call.is_answered:
                postings = [posting for event in parts for posting in event.postings]
                posted = tuple(sum(each.amount_micros for each in postings if each.fund == fund) for fund in call.funds)
                seq = max((event.seq for event in parts), default=0)
                billed_s = self.billed[rid, seq] if parts else 0
                self.bench.keeper.amend(rid, seq, billed_s, posted)
                self.model.calls[rid] = call._replace(posted=posted, billed_s=billed_s)

    def _recount(self, lost: Dump) -> None:
        """Set every fund to what Postgres and the reservations say; the sync brings its terms."""
        for fund in self.model.funds:
            self.bench.set_terms(fund, self.model.given.get(fund))
            amounts = [each.amount_micros for event in self.posted for each in event.postings if each.fund == fund]
            self.model.charged[fund], self.model.opened[fund] = amounts, lost.opened[fund]
            self.bench.keeper.restore_fund(fund, sum(amounts), len(amounts), *self.model.spent[fund])
            channels = (self.model.channels(fund, side) for side in (0, OUT, IN))
            self.bench.keeper.recount(fund, self.model.held(fund), *channels)

    def _repeat_all(self) -> None:
        """Repeat all operations of before: none is applied. An end that is not known any more is told late, once."""
        for rid, call in self.model.calls.items():
            results = [(each, self.bench.batch_of(*each[:1], [each[1]])[0]) for each in call.done[-OPS_KEPT:]]
            assert not any(isinstance(got, Applied) for (_, done, _), got in results if not isinstance(done, Late))
            taken = [each for each, got in results if isinstance(got, Applied | Replayed)]
            # Who takes some of them may forget older ones for it, beside others that its dump had.
            again = [(each, self.bench.batch_of(*each[:1], [each[1]])[0]) for each in taken]
            assert not any(isinstance(got, Applied) for _, got in again)
            assert not again or isinstance(again[-1][1], Replayed)
            kept = tuple((*each[:2], got.granted_s) for each, got in again if isinstance(got, Replayed))
            seq = call.seq
            if not call.is_open and not any(isinstance(done, Settle | Release | Late) for _, done, _ in kept):
                seq += 1
                end = Late(f"{rid}:{seq}", rid, seq, codec.pack(pinned(rid)), ended())
                (got,) = self.bench.funds.batch([end])
                assert isinstance(got, Applied)
                kept = (*kept, (NODE, end, got.granted_s))
            self.model.calls[rid] = call._replace(done=kept, seq=seq)
