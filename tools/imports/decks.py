"""From staged rates to the decks of a tariff: what each of them changes, and the one switch to all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from tools.account.amounts import decimal
from tools.imports.source import Survey
from tools.imports.staging import Staged
from tools.printable import printable
from tools.session import Connection

_DIFF: Final = "select tandem.diff_rates_v1(%s, %s, %s, %s, %s, %s)"
_BUILD: Final = "select tandem.build_rates_v1(%s, %s)"
_SWITCH: Final = "select tandem.switch_rates_v1(%s, %s, %s, %s)"
_POINTER: Final = "select rate_set_id from tandem.tariff where id = %s"
_DECKS: Final = "select valid_from, rate_set_id from tandem.tariff_deck where tariff_id = %s order by valid_from"
_PRICES: Final = 6  # decimals of a price a minute


class Bounds(NamedTuple):
    """From when on a change is absurd, in per cent of the former price. removed_pct: of all codes."""

    rise_pct: int = 400
    fall_pct: int = 90
    removed_pct: int = 50


class Wish(NamedTuple):
    """What a file is to do. is_full: what it does not name goes. drops_waiting: later decks, made before, go."""

    tariff_id: int
    is_full: bool
    drops_waiting: bool
    bounds: Bounds


class Deck(NamedTuple):
    """What changes at a moment. since: None = at once. rate_set_id: the new prices. counts: of tandem.diff_rates_v1."""

    since: datetime | None
    rate_set_id: int
    counts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return it as programs read it."""
        changes = [
            {"prefix": prefix, "before": decimal(old, 0), "after": decimal(new, 0), "percent": percent(old, new)}
            for prefix, old, new in self.counts["extremes"]
        ]
        return {"from": self.since.isoformat() if self.since else None, **self.counts, "extremes": changes}


class Plan(NamedTuple):
    """All that a file changes. kept: decks that wait for a later time, and stay. dropped: those that go."""

    decks: Sequence[Deck]
    kept: Sequence[datetime]
    dropped: Sequence[datetime]

    @property
    def is_empty(self) -> bool:
        """True where nothing would change."""
        return not self.decks and not self.dropped


def percent(old: int, new: int) -> float | None:
    """Return how much dearer a price became, in per cent; None where there was none before."""
    return round((new - old) * 100 / old, 1) if old else None


def build(connection: Connection, wish: Wish, staged: Staged) -> Plan:
    """Make the rate sets of a file. No call is priced by them yet. Raises psycopg.Error."""
    there = _timeline(connection, wish.tariff_id)
    first = staged.decks[0] if staged.decks else staged.here
    waiting = [since for since in there if since and since > staged.here and (first is None or since >= first)]
    dropped = waiting if wish.drops_waiting else []
    for gone in dropped:
        del there[gone]
    made: list[Deck] = []
    for since in staged.decks:
        at = since or staged.here
        base = there[max((begins for begins in there if begins and begins <= at), default=None)]
        counts = _one(
            connection, _DIFF, (wish.tariff_id, at, base, wish.is_full, wish.bounds.rise_pct, wish.bounds.fall_pct)
        )
        rate_set_id = _one(connection, _BUILD, (wish.tariff_id, base))
        if rate_set_id is not None:
            made.append(Deck(since, rate_set_id, counts))
            there[at] = rate_set_id
    ours = {deck.since for deck in made}
    kept = [since for since in waiting if since not in dropped and since not in ours] if made else []
    return Plan(made, kept, dropped)


def switch(connection: Connection, wish: Wish, plan: Plan, file: Survey, summary: dict[str, Any]) -> int:
    """Have calls priced by the new decks from their moments on; return the import's number. Raises psycopg.Error."""
    decks = [{"from": deck.since.isoformat() if deck.since else None, "set": deck.rate_set_id} for deck in plan.decks]
    said = {
        "file_name": printable(file.path.name)[:255],
        "sha256": file.sha256,
        "lines": summary["lines"],
        "summary": summary,
    }
    drop_from = min(plan.dropped, default=None)
    return int(_one(connection, _SWITCH, (wish.tariff_id, json.dumps(decks), drop_from, json.dumps(said))))


def brakes(plan: Plan, bounds: Bounds) -> list[str]:
    """Return, in sentences, what looks more like a slip than like a price list."""
    found: list[str] = []
    for deck in plan.decks:
        counts, when = deck.counts, f" from {shown(deck.since)}" if deck.since else ""
        before = sum(counts[name] for name in counts if name not in _NOT_BEFORE)
        said = {
            f"of {{}} codes rise by more than {bounds.rise_pct} %{when}": counts["beyond_rise"],
            f"of {{}} codes fall by more than {bounds.fall_pct} %{when}": counts["beyond_fall"],
            f"of {{}} codes lose their prices by time of the week{when}": counts["periods_lost"],
            f"codes are to cost nothing{when}": counts["to_zero"],
        }
        if counts["removed"] * 100 > before * bounds.removed_pct:
            said[f"of {{}} codes are removed{when}"] = counts["removed"]
        found += [f"{count} {sentence.format(before)}" for sentence, count in said.items() if count]
    found += [
        f"the deck that waits for {shown(since)} stays as it is; --drop-waiting takes it away" for since in plan.kept
    ]
    return found


def shown(moment: datetime) -> str:
    """Return a moment as people read it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


_NOT_BEFORE: Final = frozenset({"new", "extremes", "beyond_rise", "beyond_fall", "to_zero", "periods_lost"})


def _timeline(connection: Connection, tariff_id: int) -> dict[datetime | None, int | None]:
    """Return from when on a tariff has which rate set; None: until its first deck."""
    found: dict[datetime | None, int | None] = {None: _one(connection, _POINTER, (tariff_id,))}
    found.update(connection.execute(_DECKS, (tariff_id,)).fetchall())
    return found


def _one(connection: Connection, query: str, arguments: tuple[object, ...]) -> Any:
    ((value,),) = connection.execute(query.encode(), arguments).fetchall()
    return value
