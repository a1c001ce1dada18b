"""The same rules through `tandem … --as`: lists give what the oracle names, and nothing else is told or changed."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.isolation import asking, judging, oracle
from tests.isolation.commands import Commands
from tests.isolation.judging import Planted
from tests.isolation.oracle import Row, Viewer
from tests.isolation.tables import TABLES
from tools.tenant.catalogue import RESOURCES
from tools.tenant.model import Resource

FIXED_WORLD_ONLY = True  # commands take long

LISTED: Final = [each for each in RESOURCES if each.has_id and each.words[0] != "account"]
# What may be changed of each without naming anything else; what has no place here is not changed one by one.
CHANGES: Final = {
    "tariff": "--onnet all",
    "contact": "--phone 442079460000",
    "rewrite_set": "--name other",
    "time_set": "--timezone Europe/Paris",
    "barring": "--spares-internal yes",
    "domain": "--enabled no",
    "subscriber": "--status suspended",
    "number": "--status suspended",
    "peering": "--priority 7",
    "server": "--weight 7",
}
_ABSENT: Final = 999_999
_REFUSED: Final = re.compile("not yours|not granted|not for|not removed|does not exist")


@pytest.fixture
def viewers(planted: Planted) -> tuple[Viewer, ...]:
    """Return a few of those who are asked for: commands take long, and one policy is behind all of them."""
    _, reseller, dealer, _, stranger, *_ = planted.viewers
    return reseller, dealer, stranger


def _line(viewer: Viewer, of: Resource, command: str) -> str:
    return f"{' '.join(of.words)} {command} --as {viewer.id}"


def test_lists(planted: Planted, viewers: tuple[Viewer, ...]) -> None:
    """A list has exactly the rows that the acting account sees."""
    commands = Commands(planted.database)
    for viewer in viewers:
        for of in LISTED:
            rows = [row for row in planted.world.rows[of.table] if not of.parent or row[of.parent_column] is not None]
            expected = {str(row["id"]) for row in rows if _is_known(viewer, of, row)}
            listed = {str(row["id"]) for row in commands.json(_line(viewer, of, "list"))}
            assert judging.differing(f"account {viewer.id} lists {of.name}", expected, listed) == ""
        assert {row["id"] for row in commands.json(f"account list --as {viewer.id}")} == viewer.visible


def _is_known(viewer: Viewer, of: Resource, row: Row) -> bool:
    """Say whether a row is read, or at least known by its name, as a carrier above may be."""
    if oracle.sees(viewer, of.table, row):
        return True
    return of.name == "peering" and row["account_id"] in viewer.above and "carriers_seen" in viewer.rights


def test_what_is_not_seen_is_not_there(planted: Planted, viewers: tuple[Viewer, ...]) -> None:
    """Show and set say of a row that is not seen what they say of one that does not exist, word by word."""
    commands = Commands(planted.database)
    for viewer in viewers:
        for of in LISTED:
            hidden = next((row for row in planted.world.rows[of.table] if not _is_known(viewer, of, row)), None)
            command = f"set {{}} {CHANGES[of.name]}" if of.name in CHANGES else "show {}"
            if hidden is not None:
                said, absent = (commands.refused(_line(viewer, of, command.format(f"'#{key}'")))
                                for key in (hidden["id"], _ABSENT))  # fmt: skip
                assert said.replace(f"#{hidden['id']}", "#N") == absent.replace(f"#{_ABSENT}", "#N"), of.name


def test_what_is_only_seen_stays(planted: Planted, viewers: tuple[Viewer, ...]) -> None:
    """Set and remove are refused where the oracle refuses them, though the row is seen; nothing has changed then."""
    commands = Commands(planted.database)
    refused = 0
    for viewer in viewers:
        for of in (each for each in LISTED if each.name in CHANGES):
            row = _only_seen(viewer, of)
            for command in ("set '#{}' " + CHANGES[of.name], "remove '#{}'") if row else ():
                assert row
                line = _line(viewer, of, command.format(row["id"]))
                said = commands.refused(line)
                assert _REFUSED.search(said), f"{line}: {said}"
                refused += 1
    assert refused > 0
    after = asking.snapshot(planted.database).rows
    assert [table.name for table in TABLES if after[table.name] != planted.world.rows[table.name]] == []


def _only_seen(viewer: Viewer, of: Resource) -> Row | None:
    """Return a row that the viewer reads and may not write; None where there is none."""
    rows = (row for row in viewer.world.rows[of.table] if _is_known(viewer, of, row))
    kept = (
        row for row in rows if not oracle.changes(viewer, of.table, row, row)
    )  # who may not remove it may change it
    return next((row for row in kept if not oracle.removes(viewer, of.table, row)), None)


def test_whole_accounts(planted: Planted, viewers: tuple[Viewer, ...]) -> None:
    """Export, show and reports know no account that the acting one does not see."""
    commands = Commands(planted.database)
    for viewer in viewers:
        hidden = min(planted.world.by_id["account"].keys() - viewer.visible)
        for line in (
            f"export {hidden}",
            f"report balance --from 2026-01-01 --account {hidden}",
            f"account show {hidden}",
        ):
            assert "does not exist" in commands.refused(f"{line} --as {viewer.id}"), line
