"""What every import tells its user: what is wrong, what would change, what looks absurd."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import typer

from tools.account.tables import show_table
from tools.errors import OperatorError
from tools.imports.faults import Faults
from tools.imports.history import IN_FORCE, counts
from tools.imports.source import Survey


class Manner(NamedTuple):
    """How an import is run. is_sure: brakes do not hold it."""

    is_dry: bool
    is_sure: bool
    as_json: bool


class Outcome(NamedTuple):
    """What an import did, or would do. summary: stable keys for programs. import_id: None = nothing was switched."""

    file: Survey
    target: str
    summary: Mapping[str, Any]
    brakes: Sequence[str]
    import_id: int | None


def refuse(faults: Faults, file: Survey, manner: Manner, errors: str) -> None:
    """Raise OperatorError where anything is wrong; the first faults are shown. errors: the file with all of them."""
    if not faults.count:
        return
    if manner.as_json:
        typer.echo(json.dumps({"errors": faults.count, "first": [fault.as_dict() for fault in faults.first]}))
    else:
        show_table(
            {"line": "line", "column": "column", "value": "value", "rule": "rule"},
            [fault.as_dict() for fault in faults.first],
        )
    more = ""
    if faults.count > len(faults.first):
        more = (
            f"; all of them are in {errors}"
            if errors
            else f"; the first {len(faults.first)} are shown, --errors FILE has all"
        )
    are = "1 value is" if faults.count == 1 else f"{faults.count} values are"
    raise OperatorError(f"file: {file.path.name!r}: {are} wrong, nothing was imported{more}")


def brake(brakes: Sequence[str], manner: Manner) -> None:
    """Raise OperatorError where something looks absurd, unless that is wanted, or nothing is to happen anyway."""
    if brakes and not manner.is_sure and not manner.is_dry:
        raise OperatorError(f"stopped, nothing was imported: {'; '.join(brakes)}; --yes imports it all the same")


def conclude(outcome: Outcome, manner: Manner) -> None:
    """Say how an import ended, after its summary."""
    if manner.as_json:
        said = {
            "import": outcome.import_id,
            "file": outcome.file.path.name,
            "sha256": outcome.file.sha256,
            "target": outcome.target,
        }
        typer.echo(json.dumps({**said, "dry_run": manner.is_dry, **outcome.summary, "brakes": list(outcome.brakes)}))
        return
    if manner.is_dry:
        for sentence in outcome.brakes:
            typer.echo(f"would stop without --yes: {sentence}")
        typer.echo("nothing was imported: --dry-run")
    elif outcome.import_id is None:
        typer.echo("nothing changes: all of it is so already")
    else:
        typer.echo(
            f"import {outcome.import_id} {_counts(outcome)}; `tandem import undo {outcome.import_id}` takes it back"
        )


def _counts(outcome: Outcome) -> str:
    """Return since when it counts, in words."""
    begins = [each["from"] and datetime.fromisoformat(each["from"]) for each in outcome.summary.get("decks", ())]
    said = counts(begins, datetime.now(UTC))
    return f"is {said}" if said.startswith(IN_FORCE) else said
