"""Calls shared among equals, carriers or the places of an IP trunk: the draw, as these see it."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path

import psycopg

from tests.e2e.traffic import sipp
from tests.wait import until
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S, Endpoint
from tools.scenario.sipp import call_id, received

CALLS = 80
SHARE_PCT = 85
FAR = 0.18  # of all calls: 4.5 standard deviations of so many, one run in a hundred thousand; half and half is farther
CALLER, NUMBER = "127.1.203.9", "887030000001"
CARRIERS = {"127.1.203.1": "draw-most", "127.1.203.2": "draw-rest"}

WORLD = """
select world.tariff('Tandem', 'draw', 'EUR', '88703', '0.03');
select world.reseller('draw-reseller', 'Tandem', 'draw', 50);
select world.tariff('draw-reseller', 'retail', 'EUR', '88703', '0.06');
select world.customer('draw-customer', 'draw-reseller', 'retail', 50);
select world.domain('draw.example', 'draw-customer');
select world.subscriber('pbx@draw.example', 'draw-customer', null, '887031000001');
select world.trusted('pbx@draw.example', '127.1.203.9/32', 'udp');
select world.carrier_of('draw-reseller', 'draw-most', '127.1.203.1', 5080, '88703', '0.012');
select world.carrier_of('draw-reseller', 'draw-rest', '127.1.203.2', 5080, '88703', '0.010');
select world.account_option('draw-reseller', 'routing', 'priority,share');
select world.carrier_option('draw-most', 'share', '85'), world.carrier_option('draw-rest', 'share', '15');
"""

OTHER, PBX_NUMBER = "127.1.203.8", "887032000001"
PLACES = {"127.1.203.3": "most", "127.1.203.4": "rest"}
TRUNK = """
select world.chain('places', '887032');
select world.subscriber('pbx@places.example', 'places-customer', null, null);
select world.trusted('alice@places.example', '127.1.203.8/32', 'udp');
select world.subscriber_option('pbx@places.example', 'kind', 'ip_trunk');
select world.place('pbx@places.example', '127.1.203.3', 5080, weight => 85);
select world.place('pbx@places.example', '127.1.203.4', 5080, weight => 15);
select world.did('887032000001', 'pbx@places.example');
"""

TAKEN = """
select s.name, count(*) from tandem.cdr c join tandem.peering_server s on s.id = c.server_id
 where starts_with(c.call_id, %s) and c.outcome = 'answered' group by s.name
"""


def test_each_carrier_gets_its_share(endpoint: Endpoint, watch: Watch, tmp_path: Path) -> None:
    """85 % and 15 % of 80 calls at one price of the profile, give or take; every call is answered by one of them."""
    watch.load_world("draw-", WORLD)
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
    run_id = f"draw-{secrets.token_hex(4)}"
    _draw(endpoint, tmp_path, CARRIERS, (CALLER, NUMBER), run_id)

    with psycopg.connect(endpoint.database_url, autocommit=True) as database:
        until(lambda: sum(_taken(database, run_id).values()) == CALLS, 20, "a record of every call")
        taken = _taken(database, run_id)
    assert abs(taken["draw-most"] - CALLS * SHARE_PCT / 100) <= CALLS * FAR, taken
    assert taken["draw-rest"], taken


def test_each_place_of_an_ip_trunk_gets_its_share(endpoint: Endpoint, watch: Watch, tmp_path: Path) -> None:
    """Weights 85 and 15, of one priority: so are the calls, give or take; each reaches one of them, and no other."""
    watch.load_world("places-", TRUNK)
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
    _draw(endpoint, tmp_path, PLACES, (OTHER, PBX_NUMBER), f"places-{secrets.token_hex(4)}")

    most, rest = (
        {call_id(invite) for invite in received(tmp_path / name / "uas-answer.xml.messages", "INVITE")}
        for name in PLACES.values()
    )
    assert len(most | rest) == CALLS
    assert not most & rest
    assert abs(len(most) - CALLS * SHARE_PCT / 100) <= CALLS * FAR
    assert rest


def _draw(endpoint: Endpoint, folder: Path, callees: dict[str, str], way: tuple[str, str], run_id: str) -> None:
    """Place the calls from an address to a number; callees: who answers, address -> the folder of its messages."""
    address, number = way
    with ExitStack() as parties:
        for host, name in callees.items():
            own = folder / name
            own.mkdir()
            callee = sipp(endpoint, own, "uas-answer.xml", host, calls=CALLS + 1)  # more than come: it stays
            parties.callback(callee.wait)
            parties.callback(callee.kill)
        caller = sipp(
            endpoint, folder, "uac-plain.xml", address, "-s", number, "-key", "user", "pbx",
            "-key", "domain", "draw.example", "-r", "20", "-d", "100", "-cid_str", f"{run_id}-%u@tandem", calls=CALLS,
        )  # fmt: skip
        assert caller.wait(60) == 0, (folder / "uac-plain.xml.log").read_text()[-2000:]


def _taken(database: psycopg.Connection[tuple[str, int]], run_id: str) -> dict[str, int]:
    return dict(database.execute(TAKEN, (run_id,)).fetchall())
