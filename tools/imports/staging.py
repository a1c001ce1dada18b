"""From the rows of a price list into temporary tables of Postgres, by COPY; nothing of the file stays in memory."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from psycopg import Copy

from tools.errors import OperatorError
from tools.imports.faults import Faults
from tools.imports.rate_rows import Price, Rate
from tools.session import Connection

CODES_MAX: Final = 20_000_000  # codes that one file may stand for
MOMENTS_MAX: Final = 10_000
DECKS_MAX: Final = 12  # decks that may wait: tandem.check_decks
_BLOCK: Final = 4096  # rows of one write
_COPY_ROWS: Final = "copy pg_temp.import_row(line, prefix, moment, price) from stdin"
_COPY_MOMENTS: Final = "copy pg_temp.import_moment(idx, at) from stdin"
_COPY_PRICES: Final = (
    "copy pg_temp.import_price(idx, per_min_micros, first_s, next_s, connect_micros, forbidden, min_micros) from stdin"
)
_CONTRADICTIONS: Final = "select line, other_line, prefix from tandem.gather_rates_v1(%s)"
_GATHERED: Final = "select count(*) from pg_temp.import_rate"


class Staged(NamedTuple):
    """What was staged. codes: with those said twice. here: since when what has no date, or a past one, counts.

    decks: the moments at which prices change, None = here; in their order.
    """

    codes: int
    here: datetime
    decks: tuple[datetime | None, ...]


def open_stage(connection: Connection, tariff_id: int) -> datetime:
    """Make the tables; return the moment that "now" is. Raises psycopg.Error where its prices may not be changed."""
    connection.execute("select tandem.stage_rates_v1(%s)", (tariff_id,))
    ((here,),) = connection.execute("select clock_timestamp()").fetchall()
    found: datetime = here.astimezone(UTC)
    return found


def copy_rates(connection: Connection, rates: Iterable[Rate], here: datetime) -> Staged:
    """Copy rows, as long as there are any. Raises OperatorError for more codes, moments or decks than are bearable."""
    moments: dict[datetime, int] = {}
    with connection.cursor() as cursor:
        with cursor.copy(_COPY_ROWS) as copy:
            codes = _copy_rows(copy, rates, here, moments)
        with cursor.copy(_COPY_MOMENTS) as copy:
            for moment, index in moments.items():
                copy.write_row((index, moment))
    later = sorted(moment for moment in moments if moment > here)
    if len(later) > DECKS_MAX:
        raise OperatorError(
            f"file: it has {len(later)} dates to come, and at most {DECKS_MAX} decks of a tariff may wait"
        )
    return Staged(codes, here, (*([None] if len(later) < len(moments) else []), *later))


def _copy_rows(copy: Copy, rates: Iterable[Rate], here: datetime, moments: dict[datetime, int]) -> int:
    codes = 0
    block: list[str] = []
    for rate in rates:
        moment = moments.setdefault(rate.since or here, len(moments))
        tail = f"\t{moment}\t{rate.price}\n"
        block += [f"{rate.line}\t{prefix}{tail}" for prefix in rate.prefixes]
        if len(block) >= _BLOCK:
            codes += len(block)
            copy.write("".join(block))
            block.clear()
            if codes > CODES_MAX or len(moments) > MOMENTS_MAX:
                raise OperatorError(
                    f"file: by line {rate.line} it has {codes} codes and {len(moments)} dates;"
                    f" at most {CODES_MAX} and {MOMENTS_MAX} are allowed"
                )
    copy.write("".join(block))
    return codes + len(block)


def copy_prices(connection: Connection, prices: Iterable[tuple[Price, int]]) -> None:
    """Copy the different prices, which the rows name by number."""
    with connection.cursor() as cursor, cursor.copy(_COPY_PRICES) as copy:
        for price, index in prices:
            copy.write_row((index, *price))


def gather(connection: Connection, tariff_id: int, column: str, faults: Faults) -> int:
    """Bring the rows together; what contradicts itself becomes a fault. Return how many codes there are, by moment."""
    with connection.cursor() as cursor:
        for line, other_line, prefix in cursor.stream(_CONTRADICTIONS, (tariff_id,)):
            faults.add(other_line, column, prefix, f"line {line} gives this code another price from the same time on")
    ((codes,),) = connection.execute(_GATHERED).fetchall()
    return int(codes)
