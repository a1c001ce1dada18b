"""`tandem migrate`: bring a database to the schema of this release.

Rule 1: everything pending is one transaction: a database is at the old release or at the new one, never between.
Rule 2: migrations only go forward. An applied file is part of history: changed, missing or overtaken ones are refused.
Rule 3: functions are replaced when their file changes. Views are dropped and made again whenever anything is
applied, so a migration may change any table beneath them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import psycopg
import typer

from tools.database_url import checked
from tools.errors import OperatorError

SQL: Final = Path(__file__).resolve().parents[1] / "sql"
LOCK_ID: Final = 0x7A4DE200  # one migration of a database at a time
POSTGRES_MIN: Final = 150_000  # `unique nulls not distinct`, `security_invoker`

_FILE_NAME: Final = re.compile(r"(\d{4})_(pre|post)_[a-z0-9_]+\.sql")
_DROP_VIEWS: Final = """
do $$
declare
  old record;
begin
  for old in select schemaname, viewname from pg_catalog.pg_views where schemaname in ('sync', 'tandem') loop
    execute format('drop view if exists %I.%I cascade', old.schemaname, old.viewname);
  end loop;
end $$
"""
_RECORD: Final = """
insert into tandem.migration(name, sha256) values (%s, %s)
on conflict (name) do update set sha256 = excluded.sha256, applied_at = now()
"""


class SqlFile(NamedTuple):
    """One file below sql/. name: its path there. phase: "pre" or "post" of a migration, else ""."""

    name: str
    sha256: str
    text: str
    phase: str = ""


class Pending(NamedTuple):
    """What a database lacks; `views` are all of them as soon as anything is lacking."""

    migrations: tuple[SqlFile, ...]
    functions: tuple[SqlFile, ...]
    views: tuple[SqlFile, ...]
    gone: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the files to apply, in their order."""
        return tuple(file.name for file in (*self.migrations, *self.functions, *self.views))


def migrate(
    database_url: Annotated[
        str, typer.Option(envvar="DATABASE_URL", default_factory=str, show_default=False, help="Where: postgresql://…")
    ],
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when something is pending.")] = False,
    pre: Annotated[
        bool, typer.Option("--pre", help="Stop before the first post migration: old code still runs.")
    ] = False,
) -> None:
    """Bring the database to the schema of this release."""
    with _connect(database_url) as connection:
        if check:
            names = pending(connection).names
            if names:
                raise OperatorError(f"{len(names)} files are not applied, run `tandem migrate`: {', '.join(names)}")
        else:
            names = apply(connection, pre_only=pre)
    for name in names:
        typer.echo(f"applied {name}")
    if not names:
        typer.echo("the schema is up to date")


def apply(connection: psycopg.Connection[Any], root: Path = SQL, *, pre_only: bool = False) -> tuple[str, ...]:
    """Apply what is pending, all or nothing, and return the names of the files; nothing pending: ().

    connection: of a user who may create roles (first time) and is a member of tandem_owner. root: the sql/ folder.
    pre_only: leave the first pending post migration and all after it. Raises OperatorError naming file and line.
    """
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (LOCK_ID,))
        todo = pending(connection, root, pre_only=pre_only)
        if not todo.names:
            return ()
        if not _is_empty(connection):
            connection.execute(_DROP_VIEWS)
        for file in (*todo.migrations, *todo.functions, *todo.views):
            _run(connection, file)
        connection.execute("delete from tandem.migration where name = any (%s)", (list(todo.gone),))
    return todo.names


def pending(connection: psycopg.Connection[Any], root: Path = SQL, *, pre_only: bool = False) -> Pending:
    """Return what the database lacks. Raises OperatorError when its history is not the beginning of ours."""
    _check_server(connection)
    migrations, functions, views = (_files(root, folder) for folder in ("migrations", "functions", "views"))
    applied = _applied(connection)
    new = migrations[_shared_history(migrations, applied) :]
    if pre_only:
        new = new[: next((at for at, file in enumerate(new) if file.phase == "post"), len(new))]
    ours = {file.name for file in (*functions, *views)}
    gone = tuple(name for name in applied if not name.startswith("migrations/") and name not in ours)
    changed = tuple(file for file in functions if applied.get(file.name) != file.sha256)
    stale = gone or any(applied.get(file.name) != file.sha256 for file in views)
    return Pending(new, changed, views if new or changed or stale else (), gone)


def _connect(database_url: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(
            checked(database_url), autocommit=True, connect_timeout=10, application_name="tandem migrate"
        )
    except psycopg.Error as error:
        raise OperatorError(f"DATABASE_URL leads to no database: {str(error).strip()}") from error


def _check_server(connection: psycopg.Connection[Any]) -> None:
    if connection.info.server_version < POSTGRES_MIN:
        raise OperatorError(f"PostgreSQL {connection.info.server_version // 10_000} is too old, 15 or newer is needed")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise OperatorError(f"the database's encoding is {encoding}, UTF8 is needed: create it with `encoding 'UTF8'`")


def _files(root: Path, folder: str) -> tuple[SqlFile, ...]:
    """Return the files of a folder in order. Raises OperatorError for a migration with an unusable name."""
    files = []
    numbers: dict[str, str] = {}
    for path in sorted((root / folder).glob("*.sql")):
        data = path.read_bytes()
        phase = ""
        if folder == "migrations":
            match = _FILE_NAME.fullmatch(path.name)
            if match is None:
                raise OperatorError(f"{path.name}: a migration is named like 0007_pre_add_weight.sql")
            number, phase = match.groups()
            if other := numbers.get(number):
                raise OperatorError(f"{path.name} and {other} have the same number")
            numbers[number] = path.name
        files.append(SqlFile(f"{folder}/{path.name}", hashlib.sha256(data).hexdigest(), data.decode(), phase))
    return tuple(files)


def _is_empty(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("select to_regclass('tandem.migration') is null").fetchone()
    return row == (True,)


def _applied(connection: psycopg.Connection[Any]) -> dict[str, str]:
    if _is_empty(connection):
        return {}
    return dict(connection.execute("select name, sha256 from tandem.migration order by name").fetchall())


def _shared_history(migrations: Sequence[SqlFile], applied: dict[str, str]) -> int:
    """Return how many of our migrations the database has. Raises OperatorError unless these are our first ones."""
    known = {file.name: file for file in migrations}
    history = [name for name in applied if name.startswith("migrations/")]
    for name in history:
        if name not in known:
            raise OperatorError(f"the database has {name}, which is not here: this release is older than the database")
        if known[name].sha256 != applied[name]:
            raise OperatorError(f"{name} was changed after it was applied: restore it and write a new migration")
    for place, name in enumerate(history):
        if migrations[place].name != name:
            raise OperatorError(
                f"{migrations[place].name} comes too late: {name} is applied already; give it a higher number"
            )
    return len(history)


def _run(connection: psycopg.Connection[Any], file: SqlFile) -> None:
    """Run one file as the connecting user and record it. Raises OperatorError with the line that failed."""
    try:
        connection.execute("set local role none")
        connection.execute(file.text.encode())  # bytes: a file of the project, without parameters
        connection.execute("set local role none")
        connection.execute(_RECORD, (file.name, file.sha256))
    except psycopg.Error as error:
        position = int(error.diag.statement_position or 0)
        line = f", line {file.text.count(chr(10), 0, position) + 1}" if position else ""
        raise OperatorError(f"{file.name}{line}: {error.diag.message_primary or error}") from error
