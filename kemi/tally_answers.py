"""The counts of a node, and what `tandem noc traffic|times|carriers|tenants|refusals` answers from them. Pure.

Answers have whole rows only, the busiest first, and fit one reply of kamcmd; `count` says how many rows there are.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from kemi.records import Attempt, CallEnd
from kemi.tally import OTHER, SPANS_S, START, Counts, Tally

ALL: Final = "all"  # the one name of what has no names
STAGES: Final = ("read", "decide", "hold", "apply")
TOTAL: Final = "total"
BOUNDS_US: Final = tuple([step * 10**power // 10 for power in range(1, 8) for step in (10, 15, 20, 30, 50, 70)])
NOT_ASKED: Final = ("channels", "cps")  # an attempt that the node did not make: the server has enough calls
OK: Final = range(200, 300)
ANSWER_MAX: Final = 28_000  # bytes; kamcmd's own limit is 32 KiB
REGISTERS_S: Final = 10
REGISTERS_MIN: Final = 5
REGISTERS_MAX: Final = 4_096  # addresses told apart in REGISTERS_S; phones after an outage must not hide who guesses
WINDOWS: Final = {**{str(span_s): span_s for span_s in SPANS_S}, "start": START}

Answer = dict[str, object]
Row = dict[str, object]


class Exported(NamedTuple):
    """All counts as bytes, in the order of Tallies."""

    tallies: tuple[bytes, ...]


class Tallies:
    """The counts of a node, by what they are of."""

    def __init__(self, started_s: int) -> None:
        self.traffic = Tally(1, started_s)
        self.stages = Tally(len(STAGES) + 1, started_s)
        self.carriers = Tally(512, started_s)
        self.failures = Tally(512, started_s)  # of carriers' servers, by status or word
        self.tenants = Tally(1_024, started_s)
        self.tenant_reasons = Tally(1_024, started_s)
        self.reasons = Tally(128, started_s)
        self.sources = Tally(1_024, started_s)
        self._registers: dict[str, int] = {}  # of the REGISTERS_S that run
        self._registers_at = 0

    @property
    def _all(self) -> tuple[Tally, ...]:
        return (
            *(self.traffic, self.stages, self.carriers, self.failures),
            *(self.tenants, self.tenant_reasons, self.reasons, self.sources),
        )

    def timed(self, now_s: int, stages_us: tuple[int, ...]) -> None:
        """Count the times of an INVITE in the worker, as in Decided; without the last, which `applied` adds."""
        if len(stages_us) == len(STAGES):
            self.applied(now_s, stages_us)
        for stage, took_us in zip(STAGES[:-1], stages_us, strict=False):
            self._took(now_s, stage, took_us)

    def applied(self, now_s: int, stages_us: tuple[int, ...]) -> None:
        """Count the last of the times, and their sum."""
        self._took(now_s, STAGES[-1], stages_us[-1])
        self._took(now_s, TOTAL, sum(stages_us))

    def _took(self, now_s: int, stage: str, took_us: int) -> None:
        bound_us = BOUNDS_US[min(bisect_left(BOUNDS_US, took_us), len(BOUNDS_US) - 1)]
        self.stages.add(now_s, stage, str(bound_us))
        self.stages.peak(now_s, stage, "us", took_us)

    def counted(self, now_s: int, what: str, count: int) -> None:
        """Count what belongs to no single call."""
        self.traffic.add(now_s, ALL, what, count)

    def refused(self, now_s: int, reason: str, address: str, account_id: int, count: int) -> None:
        """Count refusals. address: "" = many; account_id: 0 = nobody known."""
        self.traffic.add(now_s, ALL, "refused", count)
        self.reasons.add(now_s, reason, "refused", count)
        self.sources.add(now_s, address or OTHER, reason, count)
        if account_id:
            self.tenants.add(now_s, str(account_id), "calls", count)
            self.tenants.add(now_s, str(account_id), "refused", count)
            self.tenant_reasons.add(now_s, str(account_id), reason, count)

    def register_refused(self, now_s: int, reason: str, address: str, count: int) -> None:
        """Count REGISTERs that were challenged or refused, which are no calls. address: as in refused.

        Each phone is challenged now and then: only who is REGISTERS_MIN times within REGISTERS_S has a row.
        """
        self.reasons.add(now_s, reason, "refused", count)
        if now_s // REGISTERS_S != self._registers_at:
            self._registers_at, self._registers = now_s // REGISTERS_S, {}
        before = self._registers.get(address, 0)
        if not address or not (before or len(self._registers) < REGISTERS_MAX):
            return
        self._registers[address] = before + count
        if before + count >= REGISTERS_MIN:
            self.sources.add(now_s, address, reason, count if before >= REGISTERS_MIN else before + count)

    def began(self, now_s: int, account_id: int, *, is_held: bool) -> None:
        """Count a call that goes."""
        self.traffic.add(now_s, ALL, "began")
        self.tenants.add(now_s, str(account_id), "calls")
        if is_held:
            self.traffic.add(now_s, ALL, "holds")

    def answered(self, now_s: int) -> None:
        """Count an answer."""
        self.traffic.add(now_s, ALL, "answered")

    def tried(self, now_s: int, attempts: Iterable[Attempt]) -> None:
        """Count the tries of a call at carriers' servers, those at phones not."""
        for attempt in attempts:
            server = str(attempt.server_id)
            if not attempt.server_id:
                continue
            if attempt.why not in NOT_ASKED:
                self.carriers.add(now_s, server, "attempts")
            if attempt.pdd_ms >= 0:
                self.carriers.add(now_s, server, "pdd_ms", attempt.pdd_ms)
                self.carriers.add(now_s, server, "rung")
            if attempt.status in OK:
                self.carriers.add(now_s, server, "answers")
            else:
                self.failures.add(now_s, server, attempt.why or str(attempt.status or "cancelled"))

    def ended(self, now_s: int, end: CallEnd) -> None:
        """Count the end of a call that went."""
        if end.outcome == "answered":
            self.traffic.add(now_s, ALL, "ended")
            self.traffic.add(now_s, ALL, "talk_ms", end.talk_ms)
            if end.server_id:
                self.carriers.add(now_s, str(end.server_id), "ended")
                self.carriers.add(now_s, str(end.server_id), "talk_ms", end.talk_ms)
        else:
            self.traffic.add(now_s, ALL, "cancelled" if end.outcome == "cancelled" else "failed")

    def export(self) -> Exported:
        """Return all as bytes, for the code after a reload."""
        return Exported(tuple([tally.export() for tally in self._all]))

    def restore(self, exported: Exported) -> None:
        """Take over what `export` of the code before returned."""
        for tally, each in zip(self._all, exported.tallies, strict=False):
            tally.restore(each)


def _traffic(tallies: Tallies, now_s: int, span_s: int, _running: Mapping[int, int]) -> Answer:
    counts = tallies.traffic.read(now_s, span_s).get(ALL, {})
    covered_s = tallies.traffic.covered_s(now_s, span_s)
    names = ("answered", "refused", "failed", "cancelled", "holds", "round_trips", "challenged", "registered", "shed")
    told = {name: counts.get(name, 0) for name in names}
    calls = counts.get("began", 0) + told["refused"]
    over = told["answered"] + told["failed"] + told["cancelled"]
    return {
        "window_s": span_s or covered_s,
        "calls": calls,
        **told,
        "cps": round(calls / covered_s, 2),
        "asr": _share(told["answered"], over),
        "acd_s": _mean(counts.get("talk_ms", 0) / 1000, counts.get("ended", 0)),
    }


def _times(tallies: Tallies, now_s: int, span_s: int, _running: Mapping[int, int]) -> Answer:
    counts = tallies.stages.read(now_s, span_s)
    rows: list[Row] = []
    for stage in (*STAGES, TOTAL):
        buckets = sorted((int(bound_us), count) for bound_us, count in counts.get(stage, {}).items())
        max_us = tallies.stages.largest(now_s, span_s, stage, "us")
        shares = {f"p{part}_us": _percentile(buckets, part, max_us) for part in (50, 95, 99)}
        count = sum(count for _, count in buckets)
        rows.append({"stage": stage, "count": count, **shares, "max_us": max_us, "buckets": buckets})
    return {"window_s": span_s or tallies.stages.covered_s(now_s, span_s), "stages": rows}


def _carriers(tallies: Tallies, now_s: int, span_s: int, running: Mapping[int, int]) -> Answer:
    counts, failures = tallies.carriers.read(now_s, span_s), tallies.failures.read(now_s, span_s)

    def row(server: str) -> Row:
        fields = counts.get(server, {})
        attempts, answers = fields.get("attempts", 0), fields.get("answers", 0)
        return {
            "server_id": _number(server),
            "attempts": attempts,
            "answers": answers,
            "asr": _share(answers, attempts),
            "acd_s": _mean(fields.get("talk_ms", 0) / 1000, fields.get("ended", 0)),
            "pdd_ms": _mean(fields.get("pdd_ms", 0), fields.get("rung", 0)),
            "failures": dict(failures.get(server, {})),
            "running": running.get(_number(server), 0) if server != OTHER else 0,
        }

    servers = {*counts, *failures, *(str(server_id) for server_id in running if server_id)}
    listed = _Listed(_busiest(servers, counts, "attempts"), row)
    return _listed(tallies.carriers, now_s, span_s, carriers=listed)


def _tenants(tallies: Tallies, now_s: int, span_s: int, _running: Mapping[int, int]) -> Answer:
    counts, reasons = tallies.tenants.read(now_s, span_s), tallies.tenant_reasons.read(now_s, span_s)

    def row(account: str) -> Row:
        calls, refused = counts[account].get("calls", 0), counts[account].get("refused", 0)
        why = dict(reasons.get(account, {}))
        return {"account": _number(account), "calls": calls, "refused": refused, "reasons": why}

    return _listed(tallies.tenants, now_s, span_s, tenants=_Listed(_busiest(counts, counts, "calls"), row))


def _refusals(tallies: Tallies, now_s: int, span_s: int, _running: Mapping[int, int]) -> Answer:
    reasons, sources = tallies.reasons.read(now_s, span_s), tallies.sources.read(now_s, span_s)
    sums = {address: sum(fields.values()) for address, fields in sources.items()}

    def reason(name: str) -> Row:
        return {"reason": name, "count": reasons[name]["refused"]}

    def source(address: str) -> Row:
        fields = sources[address]
        return {"address": address, "count": sums[address], "reason": max(fields, key=fields.__getitem__)}

    return _listed(
        tallies.reasons,
        now_s,
        span_s,
        reasons=_Listed(_busiest(reasons, reasons, "refused"), reason),
        sources=_Listed(sorted(sums, key=lambda each: (-sums[each], each)), source),
    )


ANSWERS: Final[dict[str, Callable[[Tallies, int, int, Mapping[int, int]], Answer]]] = {
    "traffic": _traffic,
    "times": _times,
    "carriers": _carriers,
    "tenants": _tenants,
    "refusals": _refusals,
}
"""Command -> its answer. now_s: as in Tally; span_s: of WINDOWS; running: calls per server now."""


class _Listed(NamedTuple):
    """Names in order, and what makes a row of one: only those that are shown are made."""

    names: list[str]
    row: Callable[[str], Row]


def _listed(tally: Tally, now_s: int, span_s: int, **lists: _Listed) -> Answer:
    """Return rows, as many as fit one reply. count: of the longest list."""
    count = max(len(each.names) for each in lists.values())
    room = (ANSWER_MAX - 200) // len(lists)
    rows = {name: _fitting(each, room) for name, each in lists.items()}
    return {"window_s": span_s or tally.covered_s(now_s, span_s), "count": count, **rows}


def _fitting(listed: _Listed, room: int) -> list[Row]:
    kept: list[Row] = []
    for name in listed.names:
        row = listed.row(name)
        room -= len(json.dumps(row)) + 2
        if room < 0:
            break
        kept.append(row)
    return kept


def _busiest(names: Iterable[str], counts: Counts, field: str) -> list[str]:
    return sorted(names, key=lambda name: (-counts.get(name, {}).get(field, 0), name))


def _number(name: str) -> int:
    """Return the id that a name stands for; 0 = all that are not counted apart."""
    return 0 if name == OTHER else int(name)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _mean(total: float, count: int) -> float | None:
    return round(total / count, 1) if count else None


def _percentile(buckets: list[tuple[int, int]], part: int, max_us: int) -> int | None:
    """Return what `part` percent were not slower than: the bound of their bucket, never above the slowest."""
    left = -(-sum(count for _, count in buckets) * part // 100)
    for bound_us, count in buckets:
        left -= count
        if left <= 0 and count:
            return min(bound_us, max_us)
    return None
