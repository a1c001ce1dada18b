"""Redis dead for longer than a slice, under a whole stack: postpaid calls go on and come in, and each is charged once.

At every level, with I1 to I4 afterwards. Prepaid calls, refusals and limits: test_kamailio_offline.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.test_recovery import SETTINGS, TALKING, WORLD, Site
from tests.fix_stack import free_address, short_directory
from tests.wait import until
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S
from tools.stack.layout import Layout, venv_bin
from tools.stack.stack import Stack

PLACED: Final = 5
WORKERS: Final = 4
DOWN_S: Final = 10
BEYOND_S: Final = 20
WORD: Final = """
select world.account_option('loss-customer', 'offline_calls', '5');
select world.account_option('loss-customer', 'offline_s', '60');
update tandem.fund f set credit_limit_micros = 1000000
  from tandem.account a where a.id = f.account_id and a.name in ('loss-customer', 'loss-reseller');
"""
LEVELS: Final = """
select a.name, coalesce(-sum(e.amount_micros), 0)::bigint
  from tandem.ledger_entry e join tandem.account a on a.id = e.account_id join tandem.cdr c on c.rid = e.rid
 where starts_with(c.call_id, %s) and e.book in ('fund', 'cost') group by a.name, e.book order by 1, 2
"""
UNPAID: Final = "select count(*) from tandem.cdr where starts_with(call_id, %s) and billed_s * 1000 < talk_ms"
LATE: Final = "select count(*) filter (where is_late), count(*) from tandem.cdr where starts_with(call_id, %s)"


@pytest.fixture(scope="module")
def fragile() -> Iterator[Stack]:
    """Run a stack of its own."""
    with short_directory() as folder:
        stack = Stack(Layout(folder / "run", free_address()), SETTINGS)
        stack.start(tied=True)
        try:
            yield stack
        finally:
            stack.stop()


@pytest.fixture
def site(fragile: Stack, tmp_path: Path) -> Iterator[Site]:
    """Bring a world whose customer has given its word, and let every worker know it."""
    made = Site(fragile, tmp_path)
    fragile.wait_ready()
    with closing(Watch(made.values["DATABASE_URL"], made.values["REDIS_URL"])) as watch:
        watch.load_world("loss-", WORLD + WORD)
        until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
    made.until_armed()
    with made.callee():
        label, made.label = made.label, f"{made.label}-first"
        for _ in range(10):
            made.place(20)
            if sum(row["rate_hits"] > 0 for row in noc(made, "caches")["caches"]) >= WORKERS:
                break
        made.label = label[: len(label) - 1] + "x"
        yield made


def noc(site: Site, page: str) -> Any:
    """Return a page of `tandem noc`, whether or not it has alarms."""
    words = [str(venv_bin() / "tandem"), "noc", page, "--json"]
    env = {**os.environ, **site.values}
    return json.loads(subprocess.run(words, env=env, capture_output=True, check=False).stdout)


def agent(site: Site) -> dict[str, Any]:
    """Return what the node agent says of itself."""
    return dict(noc(site, "status")["agent"])


def charged(site: Site) -> None:
    """Every level has paid for every second, once: 60,000 a minute, 30,000, and 12,000 to the carrier."""
    seconds = sum(billed_s for _, billed_s in site.records().values())
    assert site.sql(UNPAID, site.label) == [(0,)], "nothing was talked for nothing"
    paid = site.sql(LEVELS, site.label)
    assert paid == [
        ("loss-customer", 1_000 * seconds),
        ("loss-reseller", 200 * seconds),
        ("loss-reseller", 500 * seconds),
    ]


def test_running_calls_go_on_and_new_ones_come_in(site: Site) -> None:
    """When Redis is back the running ones are held again, and those that went without a hold are charged late."""
    with site.talking(40_000):
        with site.befall.without("redis"):
            until(lambda: agent(site)["store"] == "down", DOWN_S, "the node to notice")
            site.place(PLACED)
            until(lambda: agent(site)["going_on"] == TALKING, BEYOND_S, "all calls to be beyond what is held")
        site.until_armed()
        until(lambda: agent(site)["going_on"] == 0, BEYOND_S, "all calls to be held again")
    site.assert_right(TALKING + PLACED)
    assert site.sql(LATE, site.label) == [(PLACED, TALKING + PLACED)]
    charged(site)


def test_calls_that_end_before_redis_is_back_are_charged_whole(site: Site) -> None:
    with ExitStack() as away, site.talking(18_000):
        away.enter_context(site.befall.without("redis"))
    site.until_armed()
    site.assert_right(TALKING)
    assert site.sql(LATE, site.label) == [(TALKING, TALKING)]
    charged(site)
