"""Calls shared among equal carriers: the draw, as the carriers see it."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path

import psycopg

from tests.e2e.traffic import sipp
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S, Endpoint
from tools.wait import until

CALLS = 80
SHARE_PCT = 70
FAR = 0.25  # of all calls: five standard deviations of so many, one run in a million
CALLER, NUMBER = "127.1.203.9", "888930000001"
CARRIERS = {"127.1.203.1": "draw-most", "127.1.203.2": "draw-rest"}

WORLD = """
select world.tariff('Tandem', 'draw', 'EUR', '88893', '0.03');
select world.reseller('draw-reseller', 'Tandem', 'draw', 50);
select world.tariff('draw-reseller', 'retail', 'EUR', '88893', '0.06');
select world.customer('draw-customer', 'draw-reseller', 'retail', 50);
select world.domain('draw.example', 'draw-customer');
select world.subscriber('pbx@draw.example', 'draw-customer', null, '888931000001');
select world.trusted('pbx@draw.example', '127.1.203.9/32', 'udp');
select world.carrier_of('draw-reseller', 'draw-most', '127.1.203.1', 5080, '88893', '0.012');
select world.carrier_of('draw-reseller', 'draw-rest', '127.1.203.2', 5080, '88893', '0.010');
select world.account_option('draw-reseller', 'routing', 'priority,share');
select world.carrier_option('draw-most', 'share', '70'), world.carrier_option('draw-rest', 'share', '30');
"""

TAKEN = """
select s.name, count(*) from tandem.cdr c join tandem.peering_server s on s.id = c.server_id
 where starts_with(c.call_id, %s) and c.outcome = 'answered' group by s.name
"""


def test_each_carrier_gets_its_share(endpoint: Endpoint, watch: Watch, tmp_path: Path) -> None:
    """70 % and 30 % of 80 calls at one price of the profile, give or take; every call is answered by one of them."""
    watch.load_world("draw-", WORLD)
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
    run_id = f"draw-{secrets.token_hex(4)}"
    with ExitStack() as parties:
        for address, name in CARRIERS.items():
            folder = tmp_path / name
            folder.mkdir()
            callee = sipp(endpoint, folder, "uas-answer.xml", address, calls=CALLS + 1)  # more than come: it stays
            parties.callback(callee.wait)
            parties.callback(callee.kill)
        caller = sipp(
            endpoint, tmp_path, "uac-plain.xml", CALLER, "-s", NUMBER, "-key", "user", "pbx",
            "-key", "domain", "draw.example", "-r", "20", "-d", "100", "-cid_str", f"{run_id}-%u@tandem", calls=CALLS,
        )  # fmt: skip
        assert caller.wait(60) == 0, (tmp_path / "uac-plain.xml.log").read_text()[-2000:]

    with psycopg.connect(endpoint.database_url, autocommit=True) as database:
        until(lambda: sum(_taken(database, run_id).values()) == CALLS, 20, "a record of every call")
        taken = _taken(database, run_id)
    assert abs(taken["draw-most"] - CALLS * SHARE_PCT / 100) <= CALLS * FAR, taken
    assert taken["draw-rest"], taken


def _taken(database: psycopg.Connection[tuple[str, int]], run_id: str) -> dict[str, int]:
    return dict(database.execute(TAKEN, (run_id,)).fetchall())
