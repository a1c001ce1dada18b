"""How the syncer sleeps: a commit wakes it, another thread wakes it, and nothing that came before is slept through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from threading import Timer

import pytest

from tests.fix_postgres import Database
from tools.sync.source import Source

LONG_S = 60.0  # nobody waits for so long: a test that does fails by its time-out


@pytest.fixture
def asleep(database: Database) -> Iterator[Source]:
    """Give a syncer's connection that has said that it sleeps."""
    with closing(Source.connect(database.dsn)) as made:
        assert made.wait(LONG_S), "whoever falls asleep looks once more"
        assert not made.wait(0)
        yield made


def test_a_commit_wakes_it(asleep: Source, database: Database) -> None:
    database.connection.execute("select pg_notify('tandem_outbox', '')")
    assert asleep.wait(LONG_S)
    assert not asleep.wait(0)


def test_what_is_said_while_it_asks_something_else_is_heard(asleep: Source, database: Database) -> None:
    """The notification comes with the answer, and nothing more comes over the wire."""
    database.connection.execute("select pg_notify('tandem_outbox', '')")
    assert asleep.backlog() == (0, 0)
    assert asleep.wait(LONG_S)


def test_another_thread_wakes_it(asleep: Source) -> None:
    timer = Timer(0.05, asleep.ring)
    began_s = time.monotonic()
    timer.start()
    assert not asleep.wait(LONG_S), "the outbox has nothing new"
    timer.join()
    assert time.monotonic() - began_s < LONG_S / 2


def test_any_number_of_rings_is_one(asleep: Source) -> None:
    began_s = time.monotonic()
    for _ in range(1_000):
        asleep.ring()
    asleep.wait(LONG_S)
    assert time.monotonic() - began_s < LONG_S / 2
    assert not asleep.wait(0)


def test_a_ring_after_the_end_harms_nobody(database: Database) -> None:
    source = Source.connect(database.dsn)
    source.ring()
    source.wait(0)
    source.close()
    source.ring()


def test_an_open_transaction_that_notifies_nobody_is_looked_for(database: Database) -> None:
    """It was spared the NOTIFY while the syncer was awake, so the syncer may not sleep before it has ended."""
    with database.connect() as writer, closing(Source.connect(database.dsn)) as source:
        writer.autocommit = False
        writer.execute("select pg_advisory_xact_lock_shared(%s)", (0x7A4DE500,))
        assert all(source.wait(LONG_S) for _ in range(10))
        writer.rollback()
        assert source.wait(LONG_S)
        assert not source.wait(0)
