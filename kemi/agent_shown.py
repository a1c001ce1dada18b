"""What the NOC sees of the agent's work: the table of calls, and the counters. Only what has changed is written."""

from __future__ import annotations

from collections.abc import Mapping

from kemi.adapters import ksr_noc
from kemi.adapters.ksr_api import Ksr
from kemi.agent_talk import Talk


class Shown:
    """Of the agent of one node."""

    def __init__(self, ksr: Ksr) -> None:
        self._ksr = ksr
        self._calls: dict[str, tuple[int, int, ksr_noc.Paid]] = {}
        self._totals: dict[str, int] = {}

    def call(self, rid: str, talk: Talk | None) -> None:
        """Keep the node's table of calls true of this one. talk: None = it is over."""
        if talk is None:
            self._calls.pop(rid, None)
            ksr_noc.hide_call(self._ksr, rid)
            return
        started = talk.started
        paid = ksr_noc.Paid(talk.granted_s, talk.funds, talk.held_micros)
        row = (started.answered_ms, started.server_id, paid) if started else (0, 0, paid)
        if self._calls.get(rid) != row:
            self._calls[rid] = row
            ksr_noc.show_call(self._ksr, talk.call, *row)

    def count(self, totals: Mapping[str, int]) -> None:
        """Add to each statistic what came since the last time."""
        for name, total in totals.items():
            more = total - self._totals.get(name, 0)
            self._totals[name] = total
            if more > 0:
                self._ksr.statistics.update_stat(name, more)
