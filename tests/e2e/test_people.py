"""Users and groups whose calls go on while something changes, or come through several nodes, over real SIP."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.e2e.traffic import answered_calls, sipp
from tests.fix_stack import SHORT, free_address, short_directory
from tests.wait import until
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S, Endpoint
from tools.scenario.sipp import call_id, received
from tools.stack import plan
from tools.stack.layout import Layout
from tools.stack.stack import Stack

NODES: Final = 2
MEMBERS: Final = ("127.1.206.1", "127.1.206.2", "127.1.206.3")
CALLS: Final = 7  # odd, and no multiple of the members: each node's calls reach each of them
CALLER, OTHER = "127.1.206.8", "127.1.206.9"
DESK: Final = "127.1.206.7"
TURN: Final = """
select world.chain('turn', '88706');
select world.subscriber('m' || n || '@turn.example', 'turn-customer', 'demo-secret', null)
  from generate_series(1, 3) as n;
select world.ring_group('turn-sales', 'turn-customer', 'circular',
                        '{m1@turn.example,m2@turn.example,m3@turn.example}', member_s => 5);
select world.number('887062000001', 'turn-customer', 'group:turn-sales');
"""
MOVES: Final = """
select world.chain('moves', '88707');
select world.subscriber('desk@moves.example', 'moves-customer', 'demo-secret', null);
select world.user('moves-eva', 'moves-customer', 'desk@moves.example'), world.user('moves-adam', 'moves-customer');
select world.number('887072000001', 'moves-customer', 'user:moves-eva');
select world.number('887072000002', 'moves-customer', 'user:moves-adam');
"""
MOVE: Final = "select world.subscriber_option('desk@moves.example', 'user', 'moves-adam')"
RECORD: Final = "select outcome, sip_status, ended_by, billed_s from tandem.cdr where call_id = %s"


@pytest.fixture
def nodes() -> Iterator[tuple[Endpoint, ...]]:
    """Run two nodes that share Postgres and Redis; return where each can be reached."""
    with short_directory() as folder:
        stack = Stack(Layout(folder / "run", free_address(NODES), NODES), SHORT)
        stack.start(tied=True)
        try:
            values = plan.environment(stack.layout)
            yield tuple(
                Endpoint(str(node.address), values["DATABASE_URL"], values["REDIS_URL"]) for node in stack.layout.nodes
            )
        finally:
            stack.stop()


def test_the_turn_of_a_circular_group_is_one_for_both_nodes(nodes: tuple[Endpoint, ...], tmp_path: Path) -> None:
    """Calls come now through one node, now through the other one; each begins with the member after the last one's."""
    with closing(Watch(nodes[0].database_url, nodes[0].redis_url)) as watch:
        watch.load_world("turn-", TURN)
        until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
    with ExitStack() as parties:
        folders = [
            parties.enter_context(_phone(nodes[n % NODES], tmp_path / f"m{n}", f"m{n}@turn.example", address, CALLS))
            for n, address in enumerate(MEMBERS, 1)
        ]
        for n in range(CALLS):
            caller = _call(nodes[n % NODES], tmp_path, CALLER, "turn.example", "887062000001", f"turn-{n}")
            assert caller.wait(30) == 0, (tmp_path / "uac-digest.xml.log").read_text()[-2000:]

        rung = [
            [call_id(invite) for invite in received(folder / "uas-answer.xml.messages", "INVITE")] for folder in folders
        ]
    first = next(place for place, calls in enumerate(rung) if "turn-0@tandem" in calls)
    assert rung == [
        [f"turn-{n}@tandem" for n in range(CALLS) if (first + n) % len(MEMBERS) == place]
        for place in range(len(MEMBERS))
    ]


def test_a_device_that_moves_to_another_user_keeps_its_call(endpoint: Endpoint, watch: Watch, tmp_path: Path) -> None:
    """It rings for the new user at once, beside its call, and for the old one no more."""
    watch.load_world("moves-", MOVES)
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
    run_id = f"moves-{secrets.token_hex(4)}"
    database: psycopg.Connection[tuple[object, ...]]
    with (
        _phone(endpoint, tmp_path / "desk", "desk@moves.example", DESK, 2) as desk,
        psycopg.connect(endpoint.database_url, autocommit=True) as database,
    ):
        talking = tmp_path / "talking"
        talking.mkdir()
        first = _call(endpoint, talking, CALLER, "moves.example", "887072000001", f"{run_id}-1", talk_ms=4_000)
        until(lambda: answered_calls(desk, f"{run_id}-1"), 20, "the call to be answered")
        database.execute("select set_config('tandem.actor', 'test', false)")
        database.execute(MOVE)
        until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the change to Redis")

        to_new = _call(endpoint, tmp_path, OTHER, "moves.example", "887072000002", f"{run_id}-2")
        assert to_new.wait(30) == 0, (tmp_path / "uac-digest.xml.log").read_text()[-2000:]
        to_old = _call(endpoint, tmp_path, OTHER, "moves.example", "887072000001", f"{run_id}-3", status=480)
        assert to_old.wait(30) == 0, (tmp_path / "uac-digest-refused.xml.log").read_text()[-2000:]
        assert first.wait(30) == 0, (talking / "uac-digest.xml.log").read_text()[-2000:]

        records = []
        for n in (1, 2, 3):
            args = (f"{run_id}-{n}@tandem",)
            until(lambda: database.execute(RECORD, args).fetchall() != [], 15, f"the record of call {n}")  # noqa: B023
            records += database.execute(RECORD, args).fetchall()
    assert [record[:3] for record in records] == [
        ("answered", 200, "caller"),
        ("answered", 200, "caller"),
        ("refused", 480, ""),
    ]
    assert records[0][3] in (4, 5, 6)


@contextmanager
def _phone(endpoint: Endpoint, folder: Path, line: str, address: str, calls: int) -> Iterator[Path]:
    """Register a phone that answers so many calls; return the folder of its messages."""
    folder.mkdir()
    user, domain = line.split("@")
    phone = sipp(endpoint, folder, "uas-answer.xml", address, calls=calls)
    try:
        asks = sipp(
            endpoint, folder, "register.xml", address, "-au", user, "-ap", "demo-secret", "-key", "user", user,
            "-key", "domain", domain, "-key", "contact", f"{address}:5080", "-auth_uri", domain, calls=1,
        )  # fmt: skip
        assert asks.wait(30) == 0, (folder / "register.xml.log").read_text()[-2000:]
        yield folder
    finally:
        phone.kill()
        phone.wait()


def _call(
    endpoint: Endpoint,
    folder: Path,
    address: str,
    domain: str,
    number: str,
    label: str,
    *,
    talk_ms: int = 100,
    status: int = 0,
) -> subprocess.Popen[bytes]:
    """Let alice call a number, and talk so long. status: the refusal that she waits for, 0 = she is answered."""
    return sipp(
        endpoint, folder, "uac-digest-refused.xml" if status else "uac-digest.xml", address, "-s", number,
        "-au", "alice", "-ap", "demo-secret", "-key", "user", "alice", "-key", "domain", domain,
        "-auth_uri", f"{number}@{endpoint.proxy}", "-d", str(talk_ms), "-cid_str", f"{label}@tandem",
        calls=1, edit=lambda text: text.replace("__STATUS__", str(status)),
    )  # fmt: skip
