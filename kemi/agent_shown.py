"""What the NOC sees of the agent's work: the table of calls, and the counters. Only what has changed is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kemi.adapters import ksr_noc
from kemi.adapters.ksr_api import Ksr
from kemi.agent_talk import Talk


class _Row(NamedTuple):
    """What stands in the table of a call, its parts as in ksr_noc."""

    paid: ksr_noc.Paid
    head: str
    paid_part: str
    answered_ms: int
    server_id: int


class Shown:
    """Of the agent of one node."""

    def __init__(self, ksr: Ksr) -> None:
        self._ksr = ksr
        self._calls: dict[str, _Row] = {}
        self._totals: dict[str, int] = {}

    def call(self, rid: str, talk: Talk | None) -> None:
        """Keep the node's table of calls true of this one. talk: None = it is over."""
        if talk is None:
            self._calls.pop(rid, None)
            ksr_noc.hide_call(self._ksr, rid)
            return
        started, before = talk.started, self._calls.get(rid)
        answered_ms, server_id = (started.answered_ms, started.server_id) if started else (0, 0)
        paid = ksr_noc.Paid(talk.granted_s, talk.funds, talk.held_micros)
        if before is None:
            row = _Row(paid, ksr_noc.head(talk.call), ksr_noc.paid_part(paid), answered_ms, server_id)
        elif before.paid != paid:
            row = _Row(paid, before.head, ksr_noc.paid_part(paid), answered_ms, server_id)
        elif before.answered_ms != answered_ms or before.server_id != server_id:
            row = _Row(paid, before.head, before.paid_part, answered_ms, server_id)
        else:
            return
        self._calls[rid] = row
        ksr_noc.show_call(self._ksr, rid, (row.head, row.paid_part), answered_ms, server_id)

    def count(self, totals: Mapping[str, int]) -> None:
        """Add to each statistic what came since the last time."""
        for name, total in totals.items():
            more = total - self._totals.get(name, 0)
            self._totals[name] = total
            if more > 0:
                self._ksr.statistics.update_stat(name, more)
