"""Every row of design.md §6 with calls up over real SIP: what goes on meanwhile, and that I1 to I4 hold afterwards.

Sentinel and the breaker have tests of their own (test_failover.py, test_kamailio_outages.py), and so has a carrier that
is down (test_health.py).
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tests.e2e.disasters import Disasters
from tests.e2e.traffic import sipp
from tests.fix_stack import SHORT, free_address, short_directory
from tests.wait import until
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S, Endpoint
from tools.settle.command import options_from, verdict
from tools.stack import plan
from tools.stack.layout import Layout, venv_bin
from tools.stack.stack import Stack

TALKING: Final = 8  # calls that are up while it happens
TALK_MS: Final = 20_000
SHORT_MS: Final = 300
SETTINGS: Final = {**SHORT, "TANDEM_SLICE_S": "12", "TANDEM_GRACE_S": "3", "TANDEM_RING_MAX_S": "5"}
CALLEE, CALLER, AFTERWARDS, NUMBER = "127.1.203.1", "127.1.203.9", "127.1.203.8", "888930000001"
ARMED_S: Final = 40  # slice and grace of a node that fell silent, and a busy machine
ENDED_S: Final = 60
RECORDS_S: Final = 30

WORLD = """
select world.tariff('Tandem', 'loss', 'EUR', '88893', '0.03');
select world.reseller('loss-reseller', 'Tandem', 'loss', 500);
select world.tariff('loss-reseller', 'retail', 'EUR', '88893', '0.06');
select world.customer('loss-customer', 'loss-reseller', 'retail', 500);
select world.domain('loss.example', 'loss-customer');
select world.subscriber('pbx@loss.example', 'loss-customer', null, '888931000001');
select world.trusted('pbx@loss.example', '127.1.203.8/31', 'udp');
select world.carrier_of('loss-reseller', 'loss-carrier', '127.1.203.1', 5080, '88893', '0.012');
"""
RECORDED = "select call_id, outcome, billed_s from tandem.cdr where starts_with(call_id, %s) and outcome <> 'refused'"
FUND = "select id || ':EUR' from tandem.account where name = 'loss-customer'"
TOPUP = "select tandem.topup_v1(id, 1000000, 'cash', 'test') from tandem.account where name = 'loss-customer'"
CHARGED = """
select coalesce(-sum(e.amount_micros), 0)::bigint
  from tandem.ledger_entry e join tandem.account a on a.id = e.account_id
 where a.name = 'loss-customer' and e.book = 'fund'
   and e.rid in (select rid from tandem.cdr where starts_with(call_id, %s))
"""


class Site:
    """The stack, what befalls it, and the calls that are up. label: how the Call-IDs of this test begin."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.values = plan.environment(stack.layout)
        self.endpoint = Endpoint(self.values["TANDEM_SIP"], self.values["DATABASE_URL"], self.values["REDIS_URL"])
        self.befall = Disasters(stack, folder)
        self.folder = folder
        self.label = f"loss-{secrets.token_hex(4)}"
        self._runs = 0

    def database(self) -> psycopg.Connection[Any]:
        """Connect to Postgres; the caller closes."""
        return psycopg.connect(self.values["DATABASE_URL"], autocommit=True)

    def sql(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a query, over a connection of its own: servers come and go here."""
        with self.database() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def talking(self, talk_ms: int = TALK_MS) -> Iterator[None]:
        """Let calls be up in the block, and end as they were meant to: by the caller's own BYE."""
        before = self.answered()
        with self._caller(CALLER, TALKING, talk_ms) as caller:
            until(lambda: self.answered() == before + TALKING, 20, "the calls to be up")
            yield
            assert caller.wait(ENDED_S) == 0, "a running call did not go on to its end"

    def place(self, calls: int = 3, status: int = 200) -> None:
        """Place short calls beside the others; each must be answered with `status`."""
        file = "uac-plain.xml" if status == 200 else "uac-plain-refused.xml"
        with self._caller(AFTERWARDS, calls, SHORT_MS, file, status) as caller:
            assert caller.wait(30) == 0, f"new calls were not answered with {status}"

    def answered(self) -> int:
        """Return how many calls of this test the callee was told to talk in."""
        try:
            text = (self.folder / "uas-answer.xml.messages").read_text(errors="replace").replace("\r", "")
        except FileNotFoundError:
            return 0
        parts = [part for part in text.split("message received [")[1:] if "\nACK " in part[:200]]
        return len({line for part in parts for line in part.split("\n") if line.startswith(f"Call-ID: {self.label}")})

    def records(self) -> dict[str, tuple[str, int]]:
        """Return Call-ID -> outcome and billed seconds of the calls of this test."""
        return {call_id: (outcome, billed_s) for call_id, outcome, billed_s in self.sql(RECORDED, self.label)}

    def until_armed(self) -> None:
        """Wait until calls are taken again."""
        until(self.befall.takes_calls, ARMED_S, "calls to be taken")

    def recover(self, *options: str) -> Any:
        """Run `tandem recover --json`, and return what it says."""
        done = subprocess.run(
            [str(venv_bin() / "tandem"), "recover", "--json", *options],
            env={**os.environ, **self.values, **SETTINGS}, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def assert_right(self, calls: int, outcomes: Collection[str] = ("answered",)) -> None:
        """Every call has its record, no hold stands, each price is charged once, and I1 to I4 hold."""
        self.stack.wait_ready()
        watch = Watch(self.values["DATABASE_URL"], self.values["REDIS_URL"])
        try:
            until(lambda: watch.leases() == 0, ENDED_S, "every hold to be gone")
        finally:
            watch.close()
        until(lambda: len(self.records()) >= calls, RECORDS_S, f"{calls} records")
        proven = f"{calls} calls to be {' or '.join(outcomes)}"
        until(lambda: sum(self._outcomes()[each] for each in outcomes) == calls, RECORDS_S, proven)
        due = sum(60_000 * billed_s // 60 for _, billed_s in self.records().values())
        assert self.sql(CHARGED, self.label) == [(due,)]
        report = verdict(options_from({**os.environ, **self.values, **SETTINGS}))
        assert report.differences == ()

    def _outcomes(self) -> Counter[str]:
        return Counter(outcome for outcome, _ in self.records().values())

    @contextmanager
    def callee(self) -> Iterator[None]:
        """Let somebody take all calls of the block."""
        party = sipp(self.endpoint, self.folder, "uas-answer.xml", CALLEE, "-aa", "-timeout", "300s", calls=9_999)
        try:
            yield
        finally:
            party.kill()
            party.wait()

    @contextmanager
    def _caller(
        self, address: str, calls: int, talk_ms: int, file: str = "uac-plain.xml", status: int = 200
    ) -> Iterator[subprocess.Popen[bytes]]:
        self._runs += 1
        folder = self.folder / f"run{self._runs}"
        folder.mkdir()
        caller = sipp(
            self.endpoint, folder, file, address, "-s", NUMBER, "-key", "user", "888931000001",
            "-key", "domain", "loss.example", "-aa", "-r", "20", "-d", str(talk_ms),
            "-cid_str", f"{self.label}-{self._runs}-%u@tandem",
            calls=calls, edit=lambda text: text.replace("__STATUS__", str(status)),
        )  # fmt: skip
        try:
            yield caller
        finally:
            caller.kill()
            caller.wait()


@pytest.fixture(scope="module")
def fragile() -> Iterator[Stack]:
    """Run a stack of its own: what is lost here must not be anybody else's."""
    with short_directory() as folder:
        stack = Stack(Layout(folder / "run", free_address()), SETTINGS)
        stack.start(tied=True)
        try:
            yield stack
        finally:
            stack.stop()


@pytest.fixture
def site(fragile: Stack, tmp_path: Path) -> Iterator[Site]:
    """Bring the world, and see that all is well before anything happens."""
    made = Site(fragile, tmp_path)
    fragile.wait_ready()
    watch = Watch(made.values["DATABASE_URL"], made.values["REDIS_URL"])
    watch.load_world("loss-", WORLD)
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
    watch.close()
    made.until_armed()
    with made.callee():
        yield made


def test_postgres_is_down(site: Site) -> None:
    """New and running calls go on; what they cost waits in the stream."""
    with site.talking(8_000):
        with site.befall.without("postgres"):
            site.place()
        site.stack.wait_ready()
    site.assert_right(TALKING + 3)


def test_sync_is_down(site: Site) -> None:
    """Calls go on, with the configuration as it was; its age grows, and what was changed comes afterwards."""
    client = RedisClient(site.values["REDIS_URL"], 2_000)
    fund = site.sql(FUND)[0][0]
    before = client.execute("GET", keys.fund_terms(fund))
    with site.talking(6_000):
        with site.befall.without("sync"):
            site.sql(TOPUP)
            site.place()
            until(lambda: _age_ms(client) > 1_500, 10, "the age of the configuration to grow")
            assert client.execute("GET", keys.fund_terms(fund)) == before
        until(lambda: client.execute("GET", keys.fund_terms(fund)) != before, 30, "the change to come")
        until(lambda: _age_ms(client) < 1_500, 10, "the configuration to be fresh again")
    client.close()
    site.assert_right(TALKING + 3)


def test_redis_is_emptied(site: Site) -> None:
    """FLUSHALL: calls go on, their nodes tell them, and new ones are taken once everything is back."""
    site.place()
    with site.talking():
        site.befall.empty_redis()
        site.until_armed()
        site.place()
    site.assert_right(TALKING + 6)
    assert _lost(site)["told"] >= TALKING


def test_redis_comes_back_with_an_old_dump(site: Site) -> None:
    """Calls that began after it are told again; those that ended after it do not come to life."""
    with site.talking(30_000):
        old = site.befall.copy("redis")
        site.until_armed()
        site.place()
        site.befall.put_back("redis", old)
        site.until_armed()
        site.place()
    site.assert_right(TALKING + 6)
    assert (_lost(site)["told"] >= TALKING, _lost(site)["events_lost"]) == (True, 0)


def test_redis_is_replaced(site: Site) -> None:
    """An empty one that has not even the functions."""
    with site.talking():
        site.place()
        site.befall.put_back("redis", None)
        site.until_armed()
        site.place()
    site.assert_right(TALKING + 6)
    assert _lost(site)["told"] >= TALKING


def test_a_replica_is_promoted_that_was_behind(site: Site) -> None:
    """It has none of the calls that began after its last word, and holds of those that ended."""
    with site.befall.promoted_behind():
        site.place()
        with site.talking():
            pass
        site.place()
    site.until_armed()
    with site.talking(3_000):
        pass
    site.assert_right(2 * TALKING + 6)


def test_postgres_is_restored_to_the_past(site: Site) -> None:
    """Calls go on, nothing is posted, an operator decides: then the stream brings back all that was lost."""
    old = site.befall.copy("postgres")
    site.stack.wait_ready()
    site.place()
    until(lambda: len(site.records()) == 3, RECORDS_S, "the calls to be posted")
    with site.talking():
        site.befall.put_back("postgres", old)
        site.stack.wait_ready()
        assert "Postgres is in the past" in site.recover()["fault"]
        assert site.records() == {}
        site.place()
        assert site.befall.takes_calls()
        done = site.recover("--accept-past")
        assert (done["entries"] > 0, done["lost"]) == (True, [])
        assert site.recover()["fault"] == ""
    site.assert_right(TALKING + 6)


def test_both_are_lost(site: Site) -> None:
    """Postgres in the past and an empty Redis: the nodes tell what is live and what ended; the rest is named."""
    old = site.befall.copy("postgres")
    site.stack.wait_ready()
    site.until_armed()
    with site.talking(30_000):
        site.place()
        with site.befall.without("redis", "postgres"):
            site.place(status=503)
        site.stack.wait_ready()
        site.until_armed()
        site.befall.put_back("postgres", old)
        site.befall.put_back("redis", None)
        site.until_armed()
        site.place()
    site.assert_right(TALKING + 6)
    assert _lost(site)["told"] >= TALKING


def test_a_node_dies(site: Site) -> None:
    """Its calls are carried on by the one that comes after it, or settled by the sweeper; none is lost."""
    with site.talking(8_000):
        until(lambda: site.befall.marked() == TALKING, 5, "the answers to be marked")
        with site.befall.without("kamailio"):
            pass
        site.stack.wait_ready()
    site.assert_right(TALKING, {"answered", "estimated"})


def _age_ms(client: RedisClient) -> int:
    """Return how old the configuration may be, as workers see it."""
    seconds, micros = client.execute("TIME")
    return int(seconds) * 1000 + int(micros) // 1000 - int(client.execute("GET", keys.HEARTBEAT))


def _lost(site: Site) -> Any:
    """Return what the last rebuild found lost."""
    return site.sql("select report from tandem.recovery order by epoch desc limit 1")[0][0]
