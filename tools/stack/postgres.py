"""The private Postgres: one data directory, one unix socket, no network."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg

from tools.errors import OperatorError
from tools.stack.checks import program
from tools.stack.layout import PG_SOCKET_NAME, Layout
from tools.stack.parts import Part

DATABASE = "tandem"
SUPERUSER = "postgres"
_PROBE_TIMEOUT_S = 1
_INITDB_S = 60


def database_url(layout: Layout, database: str = DATABASE) -> str:
    """Return the URL of a database, as the superuser of the private server."""
    return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(layout.pg_socket_dir))}"


def part(layout: Layout, env: Mapping[str, str]) -> Part:
    """Return the server; a new data directory is made when there is none.

    As root it runs as another user, because Postgres refuses root.
    """
    server = program("postgres", env)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{layout.pg_socket_dir}"',
        "unix_socket_permissions": "0700",
        "cluster_name": "tandem",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_error_verbosity": "terse",  # the detail of a refusal is the whole row: hashes of passwords are in it
    }
    options = tuple(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))

    user = _server_user(layout.pg_data)
    prefix = _as_user(layout, user) if os.geteuid() == 0 else ()

    def prepare() -> None:
        layout.pg_socket_dir.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(layout.pg_socket_dir, user.pw_uid, user.pw_gid)
        if not (layout.pg_data / "PG_VERSION").exists():
            _initialise(layout, server, env, user, prefix)
        _forget_dead_server(layout)

    return Part(
        "postgres",
        (*prefix, server, "-D", str(layout.pg_data), *options),
        env,
        ready=lambda: _answers(layout),
        prepare=prepare,
        stop_signal=signal.SIGINT,  # SIGTERM would wait for clients
        stop_s=20,
    )


def create_database(layout: Layout) -> None:
    """Make the database unless it is there."""
    with psycopg.connect(database_url(layout, "postgres"), autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
        if found is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')


def _answers(layout: Layout) -> bool:
    try:
        psycopg.connect(database_url(layout, "postgres"), connect_timeout=_PROBE_TIMEOUT_S).close()
    except psycopg.OperationalError:
        return False
    return True


def _server_user(data: Path) -> pwd.struct_passwd:
    """Return whom the server runs as: the owner of its data; for new data this user, or in root's place `postgres`."""
    uid = data.stat().st_uid if data.exists() else os.geteuid()
    try:
        return pwd.getpwuid(uid) if uid else pwd.getpwnam("postgres")
    except KeyError:
        who = f"user id {uid}" if uid else "the user `postgres`"
        raise OperatorError(
            f"Postgres would run as {who}, which this machine does not know: run `make setup`"
        ) from None


def _as_user(layout: Layout, user: pwd.struct_passwd) -> tuple[str, ...]:
    """Return the words that make root run a command as `user`.

    Where that user cannot come through the directories above (a private clone of root's), the command gets the one
    capability that ignores their permissions; it keeps none of root's others.
    """
    layout.run_dir.mkdir(parents=True, exist_ok=True)
    plain = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig=INT")
    through = (*plain, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    for prefix in (plain, through):
        probe = (*prefix, "ls", "-d", f"{layout.run_dir}/.")  # access(2), as `test -x` asks, ignores capabilities
        if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
            return prefix
    raise OperatorError(
        f"user {user.pw_name}, as whom Postgres runs, cannot reach {layout.run_dir}: "
        "set RUN_DIR to a directory that every user can enter"
    )


def _initialise(
    layout: Layout, server: str, env: Mapping[str, str], user: pwd.struct_passwd, prefix: tuple[str, ...]
) -> None:
    """Make the data directory, beside its place first: one that was cut short is never taken for a whole one."""
    new = layout.run_dir / "pg.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    os.chown(new, user.pw_uid, user.pw_gid)
    options = ("-U", SUPERUSER, "--auth=trust", "--locale=C.UTF-8", "--encoding=UTF8", "--no-instructions")
    initdb = str(Path(server).resolve().with_name("initdb"))
    argv = (*prefix, initdb, "-D", str(new), *options)
    result = subprocess.run(argv, env=dict(env), capture_output=True, text=True, timeout=_INITDB_S, check=False)
    (layout.log_dir / "initdb.log").write_text(result.stdout + result.stderr)
    if result.returncode != 0:
        raise OperatorError(f"initdb failed: {result.stderr.strip()[-1000:]}")
    new.rename(layout.pg_data)


def _forget_dead_server(layout: Layout) -> None:
    """Remove what a killed server left.

    The caller knows that none runs on this data, and a pid that somebody else has by now would stop the start.
    """
    with suppress(FileNotFoundError):
        (layout.pg_data / "postmaster.pid").unlink()
    for name in (PG_SOCKET_NAME, PG_SOCKET_NAME + ".lock"):
        (layout.pg_socket_dir / name).unlink(missing_ok=True)
