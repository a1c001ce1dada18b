"""A real primary and a real standby behind one address: who is asked, and what a syncer makes of a failover."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
import pytest

from kemi.adapters.redis_client import RedisClient
from kemi.records import Status
from tests.fix_postgres import BIN, SEEDS, Database, PostgresServer, _run_as, _running, load_seed
from tests.sync_pair import SyncPair
from tests.wait import until
from tools import migrate
from tools.database_url import checked
from tools.sync.marker import FrozenError

NAME: Final = "world"
DEADLINE_S: Final = 20.0
RENUMBER: Final = "update tandem.number set status = %s where e164 = '442079460001'"
MANY: Final = """
    insert into tandem.number(account_id, e164) select 5, '4930' || i from generate_series(1000, 1500) i
"""


class Twins(NamedTuple):
    """Two servers; only the primary takes writes."""

    primary: PostgresServer
    standby: PostgresServer

    @property
    def address(self) -> str:
        """Both, the standby first."""
        return f"postgresql://postgres@/{NAME}?host={self.standby.socket_dir},{self.primary.socket_dir}"

    def fail_over(self) -> None:
        """Kill the primary and make the standby one."""
        os.kill(self.primary.pid, signal.SIGQUIT)
        with self.standby.connect(NAME) as connection:
            assert connection.execute("select pg_promote()").fetchone() == (True,)

    def catch_up(self) -> None:
        """Wait until the standby has all that is committed."""
        with self.primary.connect(NAME) as primary, self.standby.connect(NAME) as standby:
            end = primary.execute("select pg_current_wal_insert_lsn()").fetchone()
            query = "select pg_last_wal_replay_lsn() >= %s"
            until(lambda: standby.execute(query, end).fetchone() == (True,), DEADLINE_S, "the standby")


@pytest.fixture
def twins() -> Iterator[Twins]:
    """Start a primary with the demo world, and a standby that follows it."""
    owner = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    with ExitStack() as stack:
        roots = []
        for _ in range(2):
            roots.append(
                Path(tempfile.mkdtemp(prefix="tandem-ha-", dir="/tmp"))
            )  # short: a socket's path has 107 bytes
            stack.callback(shutil.rmtree, roots[-1], ignore_errors=True)
            os.chown(roots[-1], owner.pw_uid, owner.pw_gid)
        _run_as(owner, str(BIN / "initdb"), "-D", str(roots[0] / "data"), "-U", "postgres", "-A", "trust",
                "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        primary = stack.enter_context(_running(roots[0], owner))
        with primary.connect() as admin:
            admin.execute(f"create database {NAME}".encode())
        with primary.connect(NAME) as connection:
            migrate.apply(connection)
            load_seed(connection, *SEEDS)
        _run_as(owner, str(BIN / "pg_basebackup"), "-D", str(roots[1] / "data"), "-h", str(roots[0]), "-U", "postgres",
                "-R", "-X", "stream", "--no-sync", "-c", "fast")  # fmt: skip
        yield Twins(primary, stack.enter_context(_running(roots[1], owner)))


@pytest.fixture
def pair(twins: Twins, redis_client: RedisClient, redis_url: str) -> Iterator[SyncPair]:
    """Sync the primary's world once, over the address of both."""
    with twins.primary.connect(NAME) as connection:
        made = SyncPair(Database(twins.primary, NAME, twins.address, connection), redis_client, redis_url)
        made.once()
        yield made


def at_the_standby(pair: SyncPair, twins: Twins) -> SyncPair:
    connection = twins.standby.connect(NAME)
    return SyncPair(pair.database._replace(server=twins.standby, connection=connection), pair.redis, pair.redis_url)


def test_an_address_of_several_hosts() -> None:
    """It asks for the host that takes writes, unless it says otherwise; one of a single host stays as it is."""
    assert checked("postgresql://u@h:5432/n") == "postgresql://u@h:5432/n"
    both = checked("postgresql://u:p%40w@a:1,b:2/n")
    parts = psycopg.conninfo.conninfo_to_dict(both)
    assert (parts["host"], parts["port"], parts["password"]) == ("a,b", "1,2", "p@w")
    assert parts["target_session_attrs"] == "read-write"
    any_of_them = "host=a,b dbname=n target_session_attrs=any"
    assert checked(any_of_them) == any_of_them


def test_a_failover_costs_nothing_but_a_comparison(pair: SyncPair, twins: Twins) -> None:
    """The running syncer finds the new primary by itself, goes on, and compares beside it: there is a new timeline."""
    with pair.service():
        pair.sql(RENUMBER, "suspended")
        pair.wait_for(lambda: pair.record("num:442079460001").status == Status.SUSPENDED, "the change")
        twins.catch_up()
        twins.fail_over()
        after = at_the_standby(pair, twins)
        after.sql(RENUMBER, "active")
        after.wait_for(
            lambda: after.record("num:442079460001").status == Status.ACTIVE, "the new primary", deadline_s=DEADLINE_S
        )
        after.wait_for(lambda: after.status()["state"] == "live", "the comparison", deadline_s=DEADLINE_S)
    after.assert_equal()
    after.database.connection.close()


def test_a_standby_that_lacked_commits_freezes_the_configuration(pair: SyncPair, twins: Twins) -> None:
    """Redis has seen what the new primary never had: nothing is undone without an operator."""
    with twins.standby.connect(NAME) as standby:
        twins.catch_up()
        standby.execute("alter system set primary_conninfo = ''")
        standby.execute("select pg_reload_conf()")
        query = "select count(*) from pg_stat_wal_receiver"
        until(lambda: standby.execute(query).fetchone() == (0,), DEADLINE_S, "the end of the replication")
    pair.sql(MANY)
    pair.once()
    twins.fail_over()
    after = at_the_standby(pair, twins)
    with pytest.raises(FrozenError, match="behind what Redis has seen"):
        after.once()
    assert after.record("num:49301400") is not None
    after.once(accept=True)
    assert after.record("num:49301400") is None
    after.assert_equal()
    after.database.connection.close()
