"""`tandem migrate`: forward only, all or nothing, and honest about a history that is not ours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.fix_postgres import Database, PostgresServer
from tools import migrate
from tools.errors import OperatorError

LAST = "9899_pre_last.sql"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a copy of sql/ that a test may change."""
    shutil.copytree(migrate.SQL, tmp_path / "sql")
    return tmp_path / "sql"


def _write(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text, encoding="utf-8")


def _apply(database: Database, root: Path, *, pre_only: bool = False) -> tuple[str, ...]:
    return migrate.apply(database.connection, root, pre_only=pre_only)


def _refusal(database: Database, root: Path) -> str:
    with pytest.raises(OperatorError) as error:
        _apply(database, root)
    return str(error.value)


def test_everything_is_applied_once(empty_database: Database) -> None:
    """The first run applies and records every file in order, the second one nothing."""
    names = migrate.apply(empty_database.connection)
    folders = [name.partition("/")[0] for name in names]
    assert folders == sorted(folders, key=("migrations", "functions", "views").index)
    assert {name for (name,) in empty_database.run("select name from tandem.migration")} == set(names)
    assert migrate.apply(empty_database.connection) == ()


def test_two_at_once(empty_database: Database) -> None:
    """Of two runs at the same moment one applies everything and the other finds nothing to do."""

    def run(_: int) -> tuple[str, ...]:
        with empty_database.connect() as connection:
            return migrate.apply(connection)

    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(run, range(2)), key=len)
    assert first == ()
    assert second


def test_changed_migration(database: Database, root: Path) -> None:
    """A migration that was changed after it was applied is refused by its name."""
    name = min(path.name for path in (root / "migrations").iterdir())
    _write(root, f"migrations/{name}", "select 1;")
    assert _refusal(database, root) == (
        f"migrations/{name} was changed after it was applied: restore it and write a new migration"
    )


def test_missing_migration(database: Database, root: Path) -> None:
    """A database that is newer than the release is refused."""
    name = max(path.name for path in (root / "migrations").iterdir())
    (root / "migrations" / name).unlink()
    assert _refusal(database, root) == (
        f"the database has migrations/{name}, which is not here: this release is older than the database"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0000_pre_early.sql", "migrations/0000_pre_early.sql comes too late"),
        ("0001_post_again.sql", "have the same number"),
        ("0099_before_code.sql", "a migration is named like"),
        ("99_pre_short.sql", "a migration is named like"),
    ],
)
def test_misnamed_migration(database: Database, root: Path, name: str, message: str) -> None:
    """Numbers decide the order, so a file whose number is taken, too low or no number is refused."""
    _write(root, f"migrations/{name}", "select 1;")
    assert message in _refusal(database, root)


def test_failure_leaves_nothing(database: Database, root: Path) -> None:
    """A failing file undoes all files of the run, the message names file and line, and the views are still there."""
    _write(root, "migrations/9898_pre_fine.sql", "create table tandem.fine (id bigint);")
    _write(root, f"migrations/{LAST}", "select 1;\nselect nothing_like_this;\n")
    assert _refusal(database, root).startswith(f'migrations/{LAST}, line 2: column "nothing_like_this"')
    assert database.one("select to_regclass('tandem.fine')") is None
    assert database.one("select count(*) from sync.account") == 0


def test_pre_stops_before_post(database: Database, root: Path) -> None:
    """--pre applies what old code can live with: everything before the first pending post migration."""
    for name in ("9897_pre_a.sql", "9898_post_b.sql", "9899_pre_c.sql"):
        _write(root, f"migrations/{name}", "select 1;")
    assert "migrations/9897_pre_a.sql" in _apply(database, root, pre_only=True)
    applied = [name for name in _apply(database, root) if name.startswith("migrations/")]
    assert applied == ["migrations/9898_post_b.sql", "migrations/9899_pre_c.sql"]


def test_changed_function_is_replaced(database: Database, root: Path) -> None:
    """Functions are no history: a changed file is applied again."""
    name = "functions/tandem.posting_id_v1.sql"
    path = root / name
    path.write_text(path.read_text(encoding="utf-8").replace("tandem posting", "other posting"), encoding="utf-8")
    before = database.one("select tandem.posting_id_v1('x')")
    assert name in _apply(database, root)
    assert database.one("select tandem.posting_id_v1('x')") != before


def test_views_follow_their_files(database: Database, root: Path) -> None:
    """A view loses a column, another view its file; the sync role may still read what is left."""
    path = root / "views" / "sync_tariff.sql"
    path.write_text(path.read_text(encoding="utf-8").replace("       t.account_id,\n", ""), encoding="utf-8")
    (root / "views" / "sync_masks.sql").unlink()
    _apply(database, root)
    columns = database.run("select attname from pg_attribute where attrelid = 'sync.tariff'::regclass order by attnum")
    assert [name for (name,) in columns][:5] == ["name", "id", "label", "currency", "rate_set_id"]
    assert database.one("select to_regclass('sync.masks')") is None
    assert database.one("select has_table_privilege('tandem_sync', 'sync.tariff', 'select')")
    assert _apply(database, root) == ()


def test_migration_may_change_a_table_below_a_view(database: Database, root: Path) -> None:
    """Views never stand in the way of a migration."""
    _write(root, f"migrations/{LAST}", "alter table tandem.subscriber alter column username type varchar(64);")
    assert f"migrations/{LAST}" in _apply(database, root)


def test_command_says_what_it_did(empty_database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """The command names each applied file, --check refuses before and passes after."""
    with pytest.raises(OperatorError, match=r"files are not applied, run `tandem migrate`: migrations/0001_pre_"):
        migrate.migrate(empty_database.dsn, check=True)
    migrate.migrate(empty_database.dsn)
    assert capsys.readouterr().out.startswith("applied migrations/0001_pre_")
    migrate.migrate(empty_database.dsn, check=True)
    assert capsys.readouterr().out == "the schema is up to date\n"


def test_no_database() -> None:
    """An address that leads nowhere is one sentence."""
    with pytest.raises(OperatorError, match="DATABASE_URL leads to no database"):
        migrate.migrate("postgresql://nobody@/none?host=/nonexistent")


def test_wrong_encoding(postgres_server: PostgresServer) -> None:
    """Traces hold arrows: a database that cannot store them is refused before anything is made."""
    name = sql.Identifier("test_latin1")
    with postgres_server.connect() as admin:
        admin.execute(sql.SQL("create database {} encoding 'LATIN1' locale 'C' template template0").format(name))
        try:
            connection: psycopg.Connection[Any]
            with (
                postgres_server.connect("test_latin1") as connection,
                pytest.raises(OperatorError, match="UTF8 is needed"),
            ):
                migrate.apply(connection)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(name))


@contextmanager
def _release_before(database: Database, root: Path, first: str) -> Iterator[None]:
    """Apply what comes before migration `first`; afterwards the rest is there again, not applied."""
    new = root / "new"
    new.mkdir()
    for path in [*(root / "functions").iterdir(), *(root / "views").iterdir(), *(root / "migrations").iterdir()]:
        if path.parent.name != "migrations" or path.name > first:
            path.rename(new / f"{path.parent.name}~{path.name}")
    _apply(database, root)
    yield
    for path in new.iterdir():
        folder, _, name = path.name.partition("~")
        path.rename(root / folder / name)


_OLD_LEDGER = """
insert into tandem.account(kind, name, currency) values ('root', 'R', 'EUR');
insert into tandem.tariff(account_id, name, currency) values (1, 't', 'EUR');
insert into tandem.account(kind, name, parent_id, tariff_id, currency)
values ('customer', 'C', 1, 1, 'EUR'), ('customer', 'D', 1, 1, 'EUR');
insert into tandem.cdr(
  rid, call_id, node, started_at, ended_at, direction, source, account_id, caller, callee, outcome, sip_status)
values ('r1', 'c', 'n', now(), now(), 'out', '', 2, '', '', 'answered', 200);
insert into tandem.ledger_entry(
  id, txn_id, account_id, book, currency, amount_micros, origin, rid, level, seq, epoch, fund_n)
select gen_random_uuid(), md5(rid)::uuid, account, book, 'EUR', micros, 'redis', rid, 1, 1, 1, n
  from (values ('r1', 2, 'fund', -500, 1), ('r1', 1, 'income', 500, null),
               ('r2', 2, 'fund', -7, 2), ('r2', 1, 'income', 7, null)) as v(rid, account, book, micros, n);
insert into tandem.peering_group(account_id, name, tariff_id) values (1, 'acme', 1);
"""


def test_a_ledger_of_the_release_before(empty_database: Database, root: Path) -> None:
    """What calls had charged is summed up, funds get their calendar and carriers their state."""
    with _release_before(empty_database, root, "0012"):
        empty_database.run(_OLD_LEDGER.encode())
    assert any(name.startswith("migrations/0012_") for name in _apply(empty_database, root))
    assert empty_database.run("select account_id, charged_micros, n, events from tandem.fund_charge order by 1") == [
        (2, 507, 2, 2),
        (3, 0, 0, 0),
    ]
    assert empty_database.run("select account_id, spent_micros from tandem.fund_window") == [(2, 507), (2, 507)]
    assert empty_database.one("select count(*) from tandem.fund_calendar") == 2
    assert empty_database.run("select id, spent from sync.peering_group") == [(1, "")]


_OLD_PATTERNS = r"""
insert into tandem.account(kind, name, currency) values ('root', 'R', 'EUR');
insert into tandem.rewrite_set(account_id, name) values (1, 's');
insert into tandem.rewrite_rule(rewrite_set_id, side, priority, pattern, replacement)
values (1, 'callee_in', 1, '^00', ''), (1, 'callee_in', 2, 'x{,3}', ''), (1, 'callee_in', 3, '1*2*3*4*', '');
"""


def test_patterns_of_the_release_before(empty_database: Database, root: Path) -> None:
    """Those that no worker would run are named, and nothing is applied before they are written another way."""
    with _release_before(empty_database, root, "0020"):
        empty_database.run(_OLD_PATTERNS.encode())
    refusal = _refusal(empty_database, root)
    assert "write these patterns another way, then migrate: rewrite rule 2 'x{,3}' is no regular expression" in refusal
    assert "rewrite rule 3 '1*2*3*4*' has nested or too many repeats" in refusal
    assert "rewrite rule 1" not in refusal
    empty_database.run("update tandem.rewrite_rule set pattern = '^' || priority where priority > 1")
    assert "migrations/0020_pre_patterns.sql" in _apply(empty_database, root)
