"""The tries of every hunt beside its record, and the quality of servers that follows from them, once each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from kemi import codec
from kemi.records import Attempt, CallEnd, CallEvent, PinnedTarget
from tests.fakes import calls
from tests.fix_postgres import Database, load_seed
from tools.settle.books import Books, Epoch
from tools.settle.poster import Outcome, post
from tools.settle.stream import Entry

WORLD = """
select world.root('Tandem');
select world.tariff('Tandem', 'wholesale', 'EUR', '44', '0.03');
select world.carrier('acme', '127.0.1.1', 5060, '44', '0.012');
select world.carrier('zeta', '127.0.1.2', 5060, '44', '0.012');
insert into tandem.epoch(number, state, armed_at) values (1, 'armed', now());
"""
ATTEMPTS = """
select rid, n, server_id, (extract(epoch from asked_at) * 1000)::bigint, (extract(epoch from ended_at) * 1000)::bigint,
       status, pdd_ms, why from tandem.cdr_attempt order by rid, n
"""
SUMS = """
select server_id, sum(attempts)::int, sum(answered)::int, sum(talk_ms)::int, sum(rung)::int, sum(pdd_ms)::int
  from tandem.server_calls group by server_id having sum(attempts) <> 0 or sum(talk_ms) <> 0 order by server_id
"""
T0 = calls.STARTED_MS


class Desk:
    """What posts events, over a connection of settlement's role; a new id for each entry, as in the stream."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.books = Books(database.connect("tandem_settle"))
        self.acme, self.zeta = (id_ for (id_,) in database.run("select id from tandem.peering_server order by name"))
        self._ids = itertools.count(1)

    def post(self, *events: CallEvent) -> Outcome:
        """Post events as one batch."""
        entries = [Entry(f"{next(self._ids)}-0", codec.pack(event)) for event in events]
        return post(self.books, entries, Epoch(1, "armed"))

    def now_ms(self) -> int:
        """Return Postgres' time."""
        return int(self.database.one("select (extract(epoch from now()) * 1000)::bigint"))

    def attempts(self) -> list[tuple[Any, ...]]:
        """Return the rows of tries."""
        return self.database.run(ATTEMPTS.encode())

    def sums(self) -> list[tuple[Any, ...]]:
        """Return what waits to be weighed, by server."""
        return self.database.run(SUMS.encode())

    def quality(self, server_id: int) -> dict[str, float]:
        """Return the weighed sums of a server, {} where there are none."""
        rows = self.database.run("select to_jsonb(q) from tandem.server_quality q where server_id = %s", server_id)
        return {name: value for name, value in rows[0][0].items() if name != "at"} if rows else {}


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    load_seed(database.connection, "world.sql")
    database.run(WORLD.encode())
    made = Desk(database)
    yield made
    made.books.close()


def told(rid: str, *attempts: Attempt, talk_s: int = 60, ended_ms: int = 0, seq: int = 2) -> CallEvent:
    """Return the event of an answered call; its carrier's price does not matter here."""
    return calls.settled(calls.call(rid, []), end_of(*attempts, talk_s=talk_s, ended_ms=ended_ms), seq=seq)


def end_of(*attempts: Attempt, talk_s: int = 60, ended_ms: int = 0) -> CallEnd:
    end = calls.answered(talk_s, attempts[-1].server_id)._replace(attempts=attempts)
    return end._replace(ended_ms=ended_ms) if ended_ms else end


def test_a_try_keeps_its_place_in_the_call(desk: Desk) -> None:
    """Several ring at once, of one server or of none; an older node told no place."""
    rang = Attempt(0, 0, T0, T0 + 900, 100, "", 1), Attempt(desk.zeta, 200, T0, T0 + 900, 450, "", 2)
    desk.post(told("r1", Attempt(desk.acme, 503), *rang))
    found = desk.database.run(b"select n, server_id, place from tandem.cdr_attempt order by n")
    assert found == [(1, desk.acme, None), (2, 0, 1), (3, desk.zeta, 2)]


def test_a_try_of_a_phone_keeps_whose_it_was(desk: Desk) -> None:
    """A server has its name in the tables; what no name is, or nothing that COPY takes as it is, is left out."""
    names = ("bob@a.example", "media:7", "a\tb@c", "None", "acme/one")
    targets = tuple(PinnedTarget(0, desk.acme if "/" in name else 0, name) for name in names)
    call = calls.call("r1", [])._replace(targets=targets)
    tried = (
        *(Attempt(0, 480, T0, T0 + 900, 100, "", place) for place in (1, 0, 2, 3, 4, 9, -1)),
        Attempt(desk.acme, 200),
    )
    desk.post(calls.settled(call, end_of(*tried)))
    found = desk.database.run(b"select coalesce(place, -1), name from tandem.cdr_attempt order by n")
    assert found == [(1, "media:7"), (0, "bob@a.example"), (2, ""), (3, ""), (4, ""), (9, ""), (-1, ""), (-1, "")]


def test_tries_stand_beside_the_record_once(desk: Desk) -> None:
    """Posted again, in a batch of its own or within one, they change nothing."""
    call = told(
        "r1", Attempt(desk.acme, 503, T0, T0 + 100, -1, "unreachable"), Attempt(desk.zeta, 200, T0 + 100, T0 + 900, 450)
    )
    desk.post(call, call)
    stands = [
        ("r1", 1, desk.acme, T0, T0 + 100, 503, None, "unreachable"),
        ("r1", 2, desk.zeta, T0 + 100, T0 + 900, 200, 450, ""),
    ]
    counted = [(desk.acme, 1, 0, 0, 0, 0), (desk.zeta, 1, 1, 60_000, 1, 450)]
    assert (desk.attempts(), desk.sums()) == (stands, counted)
    desk.post(call)
    desk.post(told("r2", Attempt(desk.zeta, 200)), call)
    assert desk.attempts()[:2] == stands
    assert desk.sums() == [counted[0], (desk.zeta, 2, 2, 120_000, 1, 450)]


def test_nothing_stands_of_a_batch_that_was_not_committed(desk: Desk) -> None:
    """The tries of a call that cannot be stored are set aside with it; the others of its batch are posted."""
    wrong = told("r1", Attempt(desk.acme, 200))._replace(end=end_of(Attempt(desk.acme, 200))._replace(q850=4_000))
    desk.post(wrong, told("r2", Attempt(desk.acme, 200)))
    assert [row[0] for row in desk.attempts()] == ["r2"]
    assert desk.sums() == [(desk.acme, 1, 1, 60_000, 0, 0)]
    assert desk.database.one("select count(*) from tandem.event_poison") == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_record_that_stands_says_what_counts_in_any_order(desk: Desk, order: tuple[int, ...]) -> None:
    """A sweeper's guess, an end of a higher sequence, and a late end with another carrier, in each order."""
    events = [
        told("r1", Attempt(desk.acme, 200, pdd_ms=100), talk_s=60),
        told("r1", Attempt(desk.acme, 200, pdd_ms=100), talk_s=90, seq=3),
        calls.late(
            calls.call("r1", []), end_of(Attempt(desk.acme, 503), Attempt(desk.zeta, 200, pdd_ms=200), talk_s=300)
        ),
    ]
    for place in order:
        desk.post(events[place])
    assert [(row[1], row[2], row[5]) for row in desk.attempts()] == [(1, desk.acme, 503), (2, desk.zeta, 200)]
    assert desk.sums() == [(desk.acme, 1, 0, 0, 0, 0), (desk.zeta, 1, 1, 300_000, 1, 200)]


def test_quality_is_weighed_by_the_age_of_calls(desk: Desk) -> None:
    """A call of half an hour ago counts half; the view rounds and judges nobody by fewer than 20 calls."""
    now_ms = desk.now_ms()
    new = [told(f"n{n}", Attempt(desk.acme, 200, pdd_ms=1_000), ended_ms=now_ms) for n in range(20)]
    old = [told(f"o{n}", Attempt(desk.acme, 503), talk_s=0, ended_ms=now_ms - 1_800_000) for n in range(20)]
    desk.post(*new, *(event._replace(end=event.end._replace(answered_ms=0)) for event in old))
    assert desk.books.quality.weigh()
    found = desk.quality(desk.acme)
    assert found["attempts"] == pytest.approx(30, rel=0.03)
    assert found["answered"] == pytest.approx(20, rel=0.03)
    assert found["talk_s"] == pytest.approx(1_200, rel=0.03)
    assert found["pdd_ms"] / found["rung"] == pytest.approx(1_000)
    assert desk.database.one("select servers from sync.quality") == [[desk.acme, 65, 60, 1_000]]
    assert desk.database.run("select from tandem.server_calls") == []


def test_weighing_twice_counts_once_and_time_alone_makes_servers_forgotten(desk: Desk) -> None:
    desk.post(*(told(f"r{n}", Attempt(desk.acme, 200), ended_ms=desk.now_ms()) for n in range(30)))
    desk.books.quality.weigh()
    before = desk.quality(desk.acme)
    desk.books.quality.weigh()
    assert desk.quality(desk.acme) == before  # younger than a minute: the syncer hears nothing
    past = "update tandem.server_quality set at = at - %s::interval"
    desk.database.run(past.encode(), "30 minutes")
    desk.books.quality.weigh()
    assert desk.quality(desk.acme)["attempts"] == pytest.approx(before["attempts"] / 2, rel=0.01)
    assert desk.quality(desk.acme)["talk_s"] == pytest.approx(before["talk_s"] / 2, rel=0.01)
    desk.database.run(past.encode(), "10 years")
    desk.books.quality.weigh()
    assert desk.quality(desk.acme) == {}


def test_a_server_with_few_calls_is_known_for_half_an_hour(desk: Desk) -> None:
    """Were it forgotten at once, calls that come one by one would never become many."""
    for number in range(3):
        desk.post(told(f"r{number}", Attempt(desk.acme, 200), ended_ms=desk.now_ms()))
        desk.books.quality.weigh()
    assert desk.quality(desk.acme)["attempts"] == pytest.approx(3, rel=0.03)


def test_a_correction_after_the_weighing_takes_back_what_was_weighed(desk: Desk) -> None:
    now_ms = desk.now_ms()
    others = [told(f"r{n}", Attempt(desk.acme, 200), ended_ms=now_ms) for n in range(9)]
    desk.post(*others, told("x", Attempt(desk.acme, 200), ended_ms=now_ms))
    desk.books.quality.weigh()
    desk.post(calls.late(calls.call("x", []), end_of(Attempt(desk.zeta, 200), ended_ms=now_ms)))
    desk.books.quality.weigh()
    assert desk.quality(desk.acme)["attempts"] == pytest.approx(9, rel=0.03)
    assert desk.quality(desk.zeta)["talk_s"] == pytest.approx(60, rel=0.03)


def test_calls_of_last_year_and_of_servers_that_are_gone_hinder_nobody(desk: Desk) -> None:
    """A stream that is read again is old; a server may be deleted while its calls are on their way."""
    desk.post(told("r1", Attempt(desk.acme, 200)), told("r2", Attempt(999_999, 200), ended_ms=desk.now_ms()))
    assert desk.books.quality.weigh()
    assert (desk.quality(desk.acme), desk.quality(999_999)) == ({}, {})
    assert desk.database.run("select from tandem.server_calls") == []


def test_a_clock_that_is_ahead_gives_no_call_more_weight(desk: Desk) -> None:
    desk.post(*(told(f"r{n}", Attempt(desk.acme, 200), ended_ms=desk.now_ms() + 36_000_000) for n in range(20)))
    desk.books.quality.weigh()
    assert desk.quality(desk.acme)["attempts"] == 20


def test_one_process_weighs_at_a_time(desk: Desk) -> None:
    other = Books(desk.database.connect("tandem_settle"))
    with desk.books._connection.transaction():
        assert desk.books.quality.weigh()
        assert not other.quality.weigh()
    assert other.quality.weigh()
    other.close()


def test_the_syncer_hears_of_a_weighing_and_not_of_postings(desk: Desk) -> None:
    desk.database.outbox()
    desk.post(*(told(f"r{n}", Attempt(desk.acme, 200), ended_ms=desk.now_ms()) for n in range(5)))
    assert "quality" not in {kind for kind, _ in desk.database.outbox()}
    desk.books.quality.weigh()
    assert ("quality", "quality") in desk.database.outbox()
