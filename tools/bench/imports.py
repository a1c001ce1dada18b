"""How fast a carrier's price list comes into a tariff: `make bench-import ROWS=1000000`.

It runs on a private Postgres of its own, set up as the stack's. Two files are written as carriers write them, and each
is imported by the command that people use, in a process of its own. Progress goes to stderr; the last line is JSON:

rows, seconds, rows_per_s, peak_mb: a full deck of ROWS codes, `tandem import rates --full --yes`, into a tariff with
    nine prices. From the start of the process to its end, so the start of Python and COMMIT are in it. peak_mb: the
    most memory that the importer ever had (its resident set), in 10⁶ bytes; what Postgres has is not in it.
partial_rows, partial_seconds, partial_rows_per_s, partial_peak_mb: then a partial deck into the same tariff, as comes
    every week: a hundredth of the codes, half of them with a new price.
cores, fsync_ms: what the machine has, and what one write to its disk costs; Postgres shares it with the importer.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import psycopg
import typer

from tools.bench.machine import fsync_ms, progress
from tools.bench.sync_world import prefixes
from tools.errors import OperatorError
from tools.stack import plan
from tools.stack.layout import PROJECT, Address, Layout, venv_bin
from tools.stack.stack import Stack

LISTEN: Final = Address("127.1.211.5", 5060)  # nothing listens there: only Postgres runs
PRICES: Final = 40  # different ones of a list: carriers have few
PARTIAL: Final = 100  # one code of so many comes again
TARIFF: Final = "bench-import"
HEADING: Final = "Destination;Code;Rate EUR/min;Billing"
_STEPS: Final = ("1/1", "60/1", "60/60", "30/6")
_MADE: Final = "select world.tariff('Tandem', %s, 'EUR', variadic %s)"


class Imported(NamedTuple):
    """One import. seconds: of the whole process. peak_bytes: the most memory that it had."""

    rows: int
    seconds: float
    peak_bytes: int

    def figures(self, before: str) -> dict[str, Any]:
        """Return the figures by name. before: what each name begins with."""
        return {
            f"{before}rows": self.rows,
            f"{before}seconds": round(self.seconds, 2),
            f"{before}rows_per_s": round(self.rows / self.seconds),
            f"{before}peak_mb": round(self.peak_bytes / 1e6, 1),
        }


def main(
    rows: Annotated[int, typer.Option(min=100, max=50_000_000, help="codes of the full deck")] = 1_000_000,
) -> None:
    """Measure imports on a private Postgres; the last line is JSON."""
    try:
        found = measure(rows, progress())
    except (OperatorError, psycopg.Error, TimeoutError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(found))


def measure(rows: int, said: Callable[[str], None]) -> dict[str, Any]:
    """Run both imports and return the figures by name. Raises OperatorError and psycopg errors."""
    with tempfile.TemporaryDirectory(prefix="tdm-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # Postgres runs as another user
        layout = Layout(Path(folder) / "run", LISTEN, 1, None)
        stack = Stack(layout)
        stack.start(only=("postgres",), tied=True)
        try:
            return _measured(Path(folder), plan.environment(layout), rows, said)
        finally:
            stack.stop()


def _measured(folder: Path, env: dict[str, str], rows: int, said: Callable[[str], None]) -> dict[str, Any]:
    with psycopg.connect(env["DATABASE_URL"]) as connection:
        connection.execute(_MADE, (TARIFF, [word for digit in "123456789" for word in (digit, "0.010")]))
    said(f"writing {rows} rows")
    full, partial = folder / "full.csv", folder / "partial.csv"
    _write(full, full_deck(rows))
    again = _write(partial, partial_deck(rows))
    said("importing the full deck")
    first = _import(env, full, rows, "--full")
    said(f"imported in {first.seconds:.1f} s; importing a partial deck of {again} rows")
    second = _import(env, partial, again, "--partial")
    machine = {"cores": os.cpu_count(), "fsync_ms": fsync_ms(folder)}
    return {**first.figures(""), **second.figures("partial_"), **machine}


def full_deck(rows: int) -> Iterator[str]:
    """Yield the rows of a carrier's price list: so many different codes, a destination and terms for each."""
    for place, prefix in enumerate(prefixes(rows)):
        yield _row(place, prefix, place % PRICES)


def partial_deck(rows: int) -> Iterator[str]:
    """Yield the rows that come again: every hundredth code of the full deck, every other one at a new price."""
    for place, prefix in enumerate(prefixes(rows)):
        if place % PARTIAL == 0:
            yield _row(place, prefix, (place + place // PARTIAL % 2) % PRICES)


def _row(place: int, prefix: str, price: int) -> str:
    return f"Country {prefix[:2]}, area {place};{prefix};0,{100 + 7 * price:04};{_STEPS[place % len(_STEPS)]}"


def _write(path: Path, rows: Iterator[str]) -> int:
    """Write a deck; return how many rows it has."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{HEADING}\n")
        for row in rows:
            file.write(f"{row}\n")
            count += 1
    return count


def _import(env: dict[str, str], path: Path, rows: int, manner: str) -> Imported:
    """Import a deck in a process of its own. Raises OperatorError when it is refused, or ends with other prices."""
    words = (str(venv_bin() / "tandem"), "import", "rates", str(path), "--tariff", TARIFF, manner, "--yes", "--json")
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as wrong:
        began = time.monotonic()
        importer = subprocess.Popen(words, env={**os.environ, **env}, cwd=PROJECT, stdout=told, stderr=wrong)
        _, status, used = os.wait4(importer.pid, 0)  # only the kernel knows the most that a process ever had
        importer.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
        for file in (told, wrong):
            file.seek(0)
        if importer.returncode != 0:
            raise OperatorError(f"the import failed: {wrong.read().decode(errors='replace').strip()[-1_000:]}")
        _check(json.loads(told.read()), rows)
    return Imported(rows, seconds, used.ru_maxrss * 1024)


def _check(said: dict[str, Any], rows: int) -> None:
    """Raise OperatorError where nothing was put in force, or not each row was a code."""
    if said["codes"] != rows or said["import"] is None:
        raise OperatorError(f"of {rows} rows {said['codes']} became prices")


if __name__ == "__main__":
    typer.run(main)
