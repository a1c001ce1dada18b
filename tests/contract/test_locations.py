"""functions/locations.lua on a real Redis, as the workers' user: what is put is there, what has expired is not."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.adapters import ksr_locations, redis_locations
from kemi.adapters.redis_client import FunctionFailed, RedisClient
from kemi.adapters.redis_locations import Moved
from kemi.agent_locations import AgentLocations
from kemi.records import Location
from tests.fakes.ksr import FakeKsr
from tests.fakes.locations import SETTINGS, TURN_NS, FakeWire
from tests.redis_server import TIMEOUT_MS, running_redis

NOW_S = 4_000_000_000  # beyond the clock of Redis: nothing goes by itself
BOB, CAROL = "bob@a.example", "carol@b.example"


@pytest.fixture
def worker():  # type: ignore[no-untyped-def]  # noqa: ANN201  a generator of RedisClient
    with running_redis() as redis:
        client = RedisClient(redis.worker_url, TIMEOUT_MS)
        yield client
        client.close()


def registered(worker: RedisClient, now_s: int = NOW_S) -> list[str]:
    """Return all lines that are registered; they fit into one page."""
    names, cursor = redis_locations.registered(worker, redis_locations.FIRST_PAGE, now_s)
    assert cursor == redis_locations.FIRST_PAGE
    return names


def write(worker: RedisClient, name: str, expires_s: int) -> None:
    """Put a line on the list of those that are registered."""
    worker.execute("ZADD", keys.REGISTERED, expires_s, name)


def location(contact: str, seconds: int) -> Location:
    return Location(contact, "", "", NOW_S + seconds, -1, "c", 1, "", "udp:192.0.2.1:5060", "", 0, NOW_S, "n1")


def test_contacts_of_two_nodes_stand_beside_each_other(worker: RedisClient) -> None:
    one, two = location("sip:one@192.0.2.1", 60), location("sip:two@192.0.2.2", 90)
    redis_locations.put(worker, BOB, "n1", NOW_S, [one])
    redis_locations.put(worker, BOB, "n2", NOW_S, [two])
    found = redis_locations.read(worker, [BOB, CAROL], NOW_S)
    assert {*found[BOB]} == {one, two}
    assert found[CAROL] == ()
    assert registered(worker) == [BOB]
    assert registered(worker, NOW_S + 90) == [], "none that has expired"


def test_what_has_expired_goes_when_its_line_is_written(worker: RedisClient) -> None:
    redis_locations.put(
        worker, BOB, "n1", NOW_S, [location("sip:one@192.0.2.1", 10), location("sip:two@192.0.2.1", 99)]
    )
    assert len(redis_locations.read(worker, [BOB], NOW_S + 20)[BOB]) == 1, "it is not read"
    redis_locations.put(worker, BOB, "n1", NOW_S + 20, [location("sip:three@192.0.2.1", 99)])
    assert int(worker.execute("HLEN", keys.location(BOB))) == 2
    redis_locations.put(worker, BOB, "n1", NOW_S + 100, [])
    assert not worker.execute("EXISTS", keys.location(BOB))
    assert registered(worker) == []


def test_changes_are_told_in_order_and_from_any_place(worker: RedisClient) -> None:
    assert redis_locations.ends(worker) == ("0-0", "0-0")
    one = location("sip:one@192.0.2.1", 60)
    redis_locations.put(worker, BOB, "n1", NOW_S, [one])
    assert redis_locations.put(worker, BOB, "n2", NOW_S, [], [one.contact, "sip:other@192.0.2.1"]) == 1
    first, second = redis_locations.moved(worker, "0-0")
    assert (first.name, first.node, first.gone) == (BOB, "n1", ())
    assert second == Moved(second.at, BOB, "n2", (one.contact, "sip:other@192.0.2.1"))
    assert redis_locations.moved(worker, first.at) == [second]
    assert redis_locations.ends(worker) == (first.at, second.at)
    assert redis_locations.order(first.at) < redis_locations.order(second.at)


def test_a_line_leaves_the_list_with_its_last_contact(worker: RedisClient) -> None:
    redis_locations.put(worker, BOB, "n1", NOW_S, [location("sip:one@192.0.2.1", 60)])
    redis_locations.put(worker, CAROL, "n1", NOW_S, [location("sip:two@192.0.2.1", 90)])
    redis_locations.forget_expired(worker, NOW_S + 70)
    assert registered(worker) == [CAROL]


def test_no_line_is_left_out_while_others_come_go_and_refresh(worker: RedisClient) -> None:
    """Whatever moves between two pages: in the order of expiries, 150 of 2000 were skipped by 50 refreshes a page."""
    standing = [f"u{n}@a.example" for n in range(2000)]
    for name in standing:
        write(worker, name, NOW_S + 60)
    found, cursor, pages = set[str](), redis_locations.FIRST_PAGE, 0
    while pages == 0 or cursor != redis_locations.FIRST_PAGE:
        names, cursor = redis_locations.registered(worker, cursor, NOW_S)
        found.update(names)
        pages += 1
        for n in range(50):
            write(worker, standing[(pages * 50 + n) % 2000], NOW_S + (30 if n % 5 == 0 else 60 + pages))
        for n in range(200):  # the table grows between two pages
            write(worker, f"new{pages}.{n}@b.example", NOW_S + 99)
            if pages > 3:
                worker.execute("ZREM", keys.REGISTERED, f"new{pages - 3}.{n}@b.example")
    assert {*standing} <= found
    assert pages > 10


def test_a_node_reads_a_page_a_turn_and_then_what_has_changed(worker: RedisClient) -> None:
    standing = [f"u{n}@a.example" for n in range(1000)]
    for n, name in enumerate(standing):
        redis_locations.put(worker, name, "n2", NOW_S, [location(f"sip:{n}@192.0.2.1", 60)])
    ksr, wire = FakeKsr(), FakeWire()
    ksr_locations.begin(ksr)
    agent = AgentLocations(ksr, SETTINGS, worker, wire)
    turns = 0
    while ksr_locations.is_loading(ksr):
        assert turns < 50
        agent.turn(turns * TURN_NS, NOW_S * 1000)
        turns += 1
        moving = location(f"sip:{turns}@192.0.2.2", 90)
        redis_locations.put(worker, standing[turns], "n2", NOW_S, [moving], [f"sip:{turns}@192.0.2.1"])
    assert turns > 5
    for later in range(turns, turns + 3):
        agent.turn(later * TURN_NS, NOW_S * 1000)
    assert {*standing} == wire.lines
    assert redis_locations.server(worker).startswith("run_id:")


@pytest.mark.parametrize(
    "words",
    [
        ("HSET", keys.config(keys.account(1)), "a", "b"),
        ("HDEL", keys.NODES, "n1"),
        ("ZADD", keys.CHANGED, "1", "x"),
        ("XADD", "{0}elsewhere", "*", "a", "b"),
        ("EXPIREAT", keys.EPOCH, "1"),
        ("DEL", keys.REGISTERED),
    ],
)
def test_the_workers_user_may_write_registrations_and_nothing_beside(
    worker: RedisClient, words: tuple[str, ...]
) -> None:
    with pytest.raises(FunctionFailed, match="permission"):
        worker.execute(*words)
