"""A private PostgreSQL for tests: its own data, one unix socket, no port; stopped by its process id.

`database` is a fresh database of this release's schema, cloned from a template; `demo_database` has the demo world in
it. Each costs 30 ms on an idle machine, and several times as much where files are on a disk. `demo` is one world for
all tests, rolled back after each: nearly free.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString, NamedTuple

import psycopg
import pytest
from psycopg import sql

from tests.scratch import short_home
from tests.wait import until
from tools import migrate

BIN = Path("/usr/lib/postgresql/15/bin")
START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 15
EMPTY, SCHEMA, DEMO = "template_empty", "template_schema", "template_demo"
SEEDS = ("world.sql", "demo.sql")

# A test's database lives for a second: nothing of it must survive a crash.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
}
_numbers = itertools.count(1)

Query = LiteralString | bytes


class PostgresServer(NamedTuple):
    """A running server. socket_dir: where its unix socket is; also libpq's `host`."""

    socket_dir: Path
    pid: int

    def dsn(self, name: str = "postgres", user: str = "postgres") -> str:
        """Return how to connect to the database `name` as `user`."""
        return f"postgresql://{user}@/{name}?host={self.socket_dir}"

    def connect(self, name: str = "postgres", user: str = "postgres") -> psycopg.Connection[Any]:
        """Connect in autocommit mode; the caller closes."""
        return psycopg.connect(self.dsn(name, user), autocommit=True)

    @contextmanager
    def clone(self, template: str) -> Iterator[Database]:
        """Make a database from `template`, and drop it afterwards, whoever is connected."""
        name = f"test_{next(_numbers)}"
        with self.connect() as admin:
            _copy(admin, template, name)
            try:
                with self.connect(name) as connection:
                    yield Database(self, name, self.dsn(name), connection)
            finally:
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


class Database(NamedTuple):
    """A test's database. connection: of the superuser, in autocommit mode."""

    server: PostgresServer
    name: str
    dsn: str
    connection: psycopg.Connection[Any]

    def connect(self, user: str = "postgres") -> psycopg.Connection[Any]:
        """Connect once more, as `user`; the caller closes."""
        return self.server.connect(self.name, user)

    def run(self, query: Query, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, [] when it gives none."""
        cursor = self.connection.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: Query, *values: object) -> Any:
        """Return the one value of the one row that a statement gives."""
        ((value,),) = self.run(query, *values)
        return value

    def refused(self, query: Query, *values: object) -> str:
        """Return why a statement is refused; a statement that is not refused fails the test."""
        with pytest.raises(psycopg.Error) as error:
            self._commit(query, *values)
        return error.value.diag.message_primary or ""

    def _commit(self, query: Query, *values: object) -> None:
        with self.connection.transaction():
            self.run(query, *values)
            self.run("set constraints all immediate")  # what a commit would check

    def outbox(self) -> set[tuple[str, str]]:
        """Return (kind, key) of every outbox row, and empty the outbox."""
        return set(self.run("with gone as (delete from tandem.outbox returning kind, key) select kind, key from gone"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Yield a server with three templates: empty, the schema, the schema and the demo world."""
    owner = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    root = Path(tempfile.mkdtemp(prefix="tandem-pg-", dir=short_home()))
    try:
        os.chown(root, owner.pw_uid, owner.pw_gid)
        _run_as(owner, str(BIN / "initdb"), "-D", str(root / "data"), "-U", "postgres", "-A", "trust",
                "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        with _running(root, owner) as server:
            _make_templates(server)
            yield server
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """Yield a fresh database with this release's schema and no rows but the currencies."""
    with postgres_server.clone(SCHEMA) as made:
        yield made


@pytest.fixture
def demo_database(postgres_server: PostgresServer) -> Iterator[Database]:
    """Yield a fresh database with the demo world."""
    with postgres_server.clone(DEMO) as made:
        yield made


@pytest.fixture(scope="session")
def shared_demo(postgres_server: PostgresServer) -> Iterator[Database]:
    """Yield the one demo world behind `demo`."""
    with postgres_server.clone(DEMO) as made:
        yield made


@pytest.fixture
def demo(shared_demo: Database) -> Iterator[Database]:
    """Yield the demo world inside a transaction that is rolled back: the cheapest world, for one connection."""
    with shared_demo.connection.transaction(force_rollback=True):
        yield shared_demo


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[Database]:
    """Yield a fresh database without anything."""
    with postgres_server.clone(EMPTY) as made:
        yield made


def load_seed(connection: psycopg.Connection[Any], *names: str) -> None:
    """Run files of sql/seed in one transaction. Raises psycopg errors."""
    with connection.transaction():
        for name in names:
            connection.execute((migrate.SQL / "seed" / name).read_bytes())


def _make_templates(server: PostgresServer) -> None:
    with server.connect() as admin:
        _copy(admin, "template1", EMPTY)
        _copy(admin, EMPTY, SCHEMA)
        with server.connect(SCHEMA) as connection:
            migrate.apply(connection)
        _copy(admin, SCHEMA, DEMO)
        with server.connect(DEMO) as connection:
            load_seed(connection, *SEEDS)


def _copy(admin: psycopg.Connection[Any], template: str, name: str) -> None:
    """Copy the files: 20 ms without fsync, where going through the log takes 190 ms (2026-11)."""
    query = sql.SQL("create database {} template {} strategy file_copy")
    admin.execute(query.format(sql.Identifier(name), sql.Identifier(template)))


@contextmanager
def _running(root: Path, owner: pwd.struct_passwd) -> Iterator[PostgresServer]:
    settings = {**_SETTINGS, "unix_socket_directories": str(root)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(BIN / "postgres"), "-D", str(root / "data"), *options],
            stdout=log, stderr=log, cwd=root, **_identity(owner),
        )  # fmt: skip
    server = PostgresServer(root, process.pid)
    try:
        until(
            lambda: process.poll() is not None or _accepts(server), START_DEADLINE_S, "PostgreSQL to accept connections"
        )
        assert process.poll() is None, (root / "log").read_text()
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown: clients are cut off
        process.wait(STOP_DEADLINE_S)


def _accepts(server: PostgresServer) -> bool:
    try:
        server.connect().close()
    except psycopg.OperationalError:
        return False
    return True


def _run_as(owner: pwd.struct_passwd, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **_identity(owner))
    assert done.returncode == 0, done.stderr


def _identity(owner: pwd.struct_passwd) -> dict[str, Any]:
    """Return what makes a child drop root's rights: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
