"""Every event of a call is in Postgres exactly once, whatever happens to the process that brings it there."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_operations import Note
from kemi.records import Rate
from tests.fakes import calls
from tests.fix_postgres import SCHEMA, Database, PostgresServer, load_seed
from tests.settle_pair import DEADLINE_S, WORLD, SettlePair
from tests.wait import until
from tools.errors import OperatorError
from tools.settle.books import Books, Epoch
from tools.settle.command import verdict
from tools.settle.poster import Outcome, post
from tools.settle.service import run_once
from tools.settle.stream import Entry, Stream


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, armed."""
    made = SettlePair(database, redis_client, redis_url)
    made.once()
    return made


def test_a_call_leaves_record_legs_and_double_entry(pair: SettlePair) -> None:
    """60 s: Alpha pays North 60,000, North pays Tandem 30,000, Tandem owes the carrier 12,000."""
    pinned = pair.place(60)
    assert pair.once() == Outcome(1, 6, 0)
    assert pair.sql("select outcome, billed_s, server_id, group_id, trace from tandem.cdr") == [
        ("answered", 60, 7, 70, ["rule 12: 00 → +"])
    ]
    assert pair.sql(
        "select level, price_micros, book from tandem.cdr_leg where rid = %s order by level", pinned.rid
    ) == [
        (0, 12_000, "cost"),
        (1, 60_000, "fund"),
        (2, 30_000, "fund"),
    ]
    entries = pair.sql(
        "select a.name, book, origin, amount_micros, fund_n from tandem.ledger_entry join tandem.account a"
        " on a.id = account_id where rid is not null order by amount_micros"
    )
    assert entries == [
        ("Alpha", "fund", "redis", -60_000, 1),
        ("North", "fund", "redis", -30_000, 1),
        ("Tandem", "cost", "pg", -12_000, None),
        ("Tandem", "carrier", "pg", 12_000, None),
        ("Tandem", "income", "redis", 30_000, None),
        ("North", "income", "redis", 60_000, None),
    ]
    pair.assert_agreed()


def test_repeated_events_change_nothing(pair: SettlePair) -> None:
    """The same events under new stream ids, as after a failover, and the group begun anew from the start."""
    for talk_s in range(1, 21):
        pair.place(talk_s)
    pair.once()
    before = pair.sql("select * from tandem.ledger_entry order by id"), pair.charged()
    for payload in pair.payloads():
        pair.append(payload)
    pair.redis.execute("XGROUP", "SETID", keys.EVENTS, "settle", "0")
    assert pair.once() == Outcome(40, 0, 0)
    assert (pair.sql("select * from tandem.ledger_entry order by id"), pair.charged()) == before
    assert pair.posted() == 20
    pair.assert_agreed()


def test_a_refused_call_and_a_call_at_price_zero_leave_records(pair: SettlePair) -> None:
    pinned = pair.pinned()
    pair.apply(Note(f"{pinned.rid}:0", pinned.rid, codec.pack(pinned), codec.pack(calls.refused(pinned).end)))
    free = pair.pinned("Beta")
    free = free._replace(legs=tuple(leg._replace(rate=Rate(0)) for leg in free.legs), targets=())
    pair.hold(free)
    pair.answer(free)
    pair.settle(free, 30)
    pair.once()
    assert pair.sql("select outcome, reason, sip_status, billed_s from tandem.cdr order by billed_s") == [
        ("refused", "credit", 402, 0),
        ("answered", "", 200, 30),
    ]
    assert pair.sql("select sum(price_micros)::int, count(*) from tandem.cdr_leg") == [(0, 4)]
    assert pair.charged() == {"North": 0, "Alpha": 0, "Beta": 0}
    pair.assert_agreed()


@pytest.fixture
def other_books(postgres_server: PostgresServer) -> Iterator[Database]:
    """Make a second database with the same world."""
    with postgres_server.clone(SCHEMA) as made:
        load_seed(made.connection, "world.sql")
        made.connection.execute(WORLD)
        yield made


def tables(database: Database) -> Sequence[Any]:
    """Return what posting leaves, without the times of writing."""
    rows = "select to_jsonb(t) - 'created_at' - 'posted_at' from tandem.{} t where t.rid is not null order by 1"
    return [database.connection.execute(rows.format(name)).fetchall() for name in ("cdr", "cdr_leg", "ledger_entry")]


def test_order_and_batches_change_nothing(pair: SettlePair, other_books: Database) -> None:
    """Two histories of the same events, one call estimated first and corrected later, end in the same tables."""
    events = [
        calls.settled(pair.pinned(rid=f"r{number}"), calls.answered(number, 7), {"2:EUR": number, "3:EUR": number})
        for number in range(1, 30)
    ]
    guess = calls.settled(pair.pinned(rid="r99"), calls.answered(60), {"2:EUR": 98, "3:EUR": 98}, seq=3)
    truth = calls.settled(pair.pinned(rid="r99"), calls.answered(50, 7), {"2:EUR": 99, "3:EUR": 99}, seq=4)
    entries = [Entry(f"{at}-0", codec.pack(event)) for at, event in enumerate([*events, guess, truth])]
    for database, order in ((pair.database, entries), (other_books, _shuffled(entries * 2))):
        books = Books.open(database.dsn)
        believed = books.epoch() if books.epoch().number else books.begin_epoch(0, "a test")
        for start in range(0, len(order), 7):
            post(books, order[start : start + 7], believed)
        books.close()
    assert tables(pair.database) == tables(other_books)
    assert pair.sql("select seq, billed_s from tandem.cdr where rid = 'r99'") == [(4, 50)]


def _shuffled(entries: list[Entry]) -> list[Entry]:
    return random.Random(7).sample(entries, len(entries))  # noqa: S311  no secret


def test_a_killed_process_loses_and_doubles_nothing(pair: SettlePair) -> None:
    """Kill -9 three times in the middle of traffic: at the end every call is posted once."""
    for _ in range(3):
        with pair.process() as process:
            done = pair.posted()
            for talk_s in range(1, 41):
                pair.place(talk_s)
            until(lambda done=done: pair.posted() > done, DEADLINE_S, "a call record")  # type: ignore[misc]
            process.kill()
            for talk_s in range(1, 11):
                pair.place(talk_s)
    pair.once(idle_s=0)
    assert pair.posted() == 150
    assert pair.sql("select count(*) from tandem.ledger_entry where rid is not null") == [(900,)]
    assert pair.charged()["Alpha"] == pair.balance("Alpha").charged_micros > 0
    pair.assert_agreed()


def test_a_crash_between_commit_and_acknowledgement_posts_once(
    pair: SettlePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is in Postgres and Redis was never told: it comes again, and changes nothing."""
    for talk_s in (5, 6, 7):
        pair.place(talk_s)

    def crash(_stream: Stream, _entries: Sequence[Entry]) -> None:
        raise StoreUnavailable("a crash", maybe_applied=True)

    with monkeypatch.context() as patch:
        patch.setattr(Stream, "acknowledge", crash)
        with pytest.raises(OperatorError):
            pair.once()
    before = pair.sql("select * from tandem.ledger_entry order by id"), pair.charged()
    spent = pair.sql("select * from tandem.fund_window order by 1, 2, 3, 4")
    assert pair.posted() == 3
    assert pair.once(idle_s=0) == Outcome(3, 0, 0)
    assert (pair.sql("select * from tandem.ledger_entry order by id"), pair.charged()) == before
    assert pair.sql("select * from tandem.fund_window order by 1, 2, 3, 4") == spent
    pair.assert_agreed()


def test_the_highest_operation_number_is_known_before_its_events_are(pair: SettlePair) -> None:
    """What a rolled-back Redis is recognised by: posting alone notes it, no chore of the process has to come by."""
    pair.redis.execute("HSET", keys.NODES, "n1", 1)
    pair.place(5)
    pair.once()
    assert pair.sql("select max(opseq) from tandem.node") == [(pair.funds.status().opseq,)]


def test_the_role_of_settle_has_the_rights_it_needs(pair: SettlePair) -> None:
    """It posts, replaces an estimate, arms, sets poison aside and verifies as tandem_settle."""
    dsn = pair.database.server.dsn(pair.database.name, "tandem_settle")
    options = pair.options()._replace(database_url=dsn)
    pair.place(7)
    free = pair.pinned()
    free = free._replace(legs=tuple(leg._replace(rate=Rate(0)) for leg in free.legs))
    for seq in (3, 4):
        pair.append(codec.pack(calls.settled(free, calls.answered(seq), seq=seq)))
        run_once(options)
    pair.append(codec.pack(calls.late(pair.pinned(), calls.answered(9, 7))))
    pair.append(b"no event")
    pair.redis.execute("DEL", keys.EPOCH)
    run_once(options)
    assert pair.posted() == 3
    assert pair.sql("select billed_s from tandem.cdr where rid = %s", free.rid) == [(4,)]
    assert pair.sql("select count(*) from tandem.event_poison") == [(1,)]
    pair.sync()
    (difference,) = verdict(options).differences
    assert "is set aside in tandem.event_poison: the bytes are not a call event" in difference


def test_sigterm_ends_it_with_everything_posted(pair: SettlePair) -> None:
    with pair.process() as process:
        pair.place(5)
        pair.until_posted(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0


def test_several_processes_share_the_events(pair: SettlePair) -> None:
    """Two at work: both get events, none is posted twice."""
    with pair.process(), pair.process():
        until(lambda: len(_consumers(pair)) >= 3, DEADLINE_S, "both consumers")  # the third armed and went
        for _ in range(60):
            pair.place(3)
        pair.until_posted(60)
    assert pair.sql("select count(*) from tandem.ledger_entry where rid is not null") == [(360,)]
    pair.assert_agreed()


def _consumers(pair: SettlePair) -> list[Any]:
    return list(pair.redis.execute("XINFO", "CONSUMERS", keys.EVENTS, "settle"))


def test_events_of_a_dead_consumer_are_taken_over(pair: SettlePair) -> None:
    """It got them, died before it posted them, and nobody gets them as new again."""
    for _ in range(5):
        pair.place(3)
    dead = Stream(pair.redis, "elsewhere:1")
    assert len(dead.fresh(1)) == 5
    pair.once()
    assert pair.posted() == 0
    assert pair.once(idle_s=0) == Outcome(5, 30, 0)
    pair.assert_agreed()


def test_poison_is_set_aside_and_the_stream_moves_on(pair: SettlePair) -> None:
    """Garbage, a wrong charge and an unknown account between good events: three set aside, the good ones posted."""
    pinned = pair.pinned()
    good = calls.settled(pinned, calls.answered(10, 7))
    wrong = good._replace(postings=(good.postings[0]._replace(amount_micros=1), good.postings[1]))
    stranger = calls.call("stranger", [calls.leg(1, 9_999, 1)])
    pair.place(5)
    for payload in (b"\xc1 no msgpack", codec.pack(wrong), codec.pack(calls.settled(stranger, calls.answered(10)))):
        pair.append(payload)
    pair.place(6)
    assert pair.once() == Outcome(5, 12, 3)
    assert pair.posted() == 2
    reasons = [reason for (reason,) in pair.sql("select reason from tandem.event_poison order by id")]
    assert "not a call event" in reasons[0]
    assert "was charged 1 micros, but its legs cost 10000" in reasons[1]
    assert "9999" in reasons[2]
    pair.redis.execute("XGROUP", "SETID", keys.EVENTS, "settle", "0")
    assert pair.once() == Outcome(5, 0, 0)
    assert pair.sql("select count(*) from tandem.event_poison") == [(3,)]


def test_a_reservation_id_used_twice_is_poison_not_silence(pair: SettlePair) -> None:
    """Another call under a posted id would vanish behind its unique ids; it is set aside instead."""
    pinned = pair.place(60)
    pair.once()
    pair.append(codec.pack(calls.settled(pinned, calls.answered(30, 7), {"3:EUR": 2, "2:EUR": 2}, seq=2)))
    assert pair.once() == Outcome(1, 0, 1)
    assert "used twice" in pair.sql("select reason from tandem.event_poison")[0][0]


def test_without_postgres_events_wait(pair: SettlePair) -> None:
    """Connections are cut and refused while calls go on; afterwards every call is posted."""
    name = pair.database.name
    with pair.process(), pair.database.server.connect() as admin:
        pair.place(3)
        pair.until_posted(1)
        admin.execute(f'alter database "{name}" allow_connections false')
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and application_name = %s",
            (name, "tandem settle"),
        )
        for _ in range(20):
            pair.place(3)
        admin.execute(f'alter database "{name}" allow_connections true')
        pair.until_posted(21)
    pair.assert_agreed()


def test_nothing_is_posted_for_an_epoch_that_is_over(pair: SettlePair) -> None:
    """Whoever rebuilds has changed the epoch row: a consumer that does not know yet commits nothing."""
    pair.place(5)
    old = Epoch(1, "armed")
    books = Books.open(pair.database.dsn)
    books.begin_epoch(1, "a rebuild")
    entry = Entry("1-0", pair.payloads()[0])
    with pytest.raises(Exception, match="epoch 1 is armed"):
        post(books, [entry], old)
    books.close()
    assert pair.posted() == 0


def test_posted_events_older_than_the_retention_are_trimmed(pair: SettlePair) -> None:
    """What is not acknowledged stays, however old; what is, stays for the retention."""
    pair.place(3)
    pair.once()
    pair.place(4)
    stream = Stream(pair.redis, "test")
    assert len(stream.fresh(1)) == 1
    future_ms = 2**45
    assert stream.trim(0) == 0
    assert stream.trim(future_ms) == 1
    assert [event.end.billed_s for event in pair.events()] == [4]


def test_calls_that_end_together_are_one_transaction(pair: SettlePair) -> None:
    """A transaction costs the same for one call as for ten: what comes within less than half a second goes together."""
    with pair.process():
        pair.place(5)
        pair.until_posted(1)
        before = pair.sql("select number from tandem.posting")[0][0]
        for talk_s in range(1, 61):
            pair.place(talk_s)
        pair.until_posted(61)
        transactions = pair.sql("select number from tandem.posting")[0][0] - before
    assert 0 < transactions < 30
    pair.assert_agreed()
