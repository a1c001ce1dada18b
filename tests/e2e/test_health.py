"""What is learned of a carrier's server from the calls that it fails."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psycopg

from kemi.core.health import FAILURES_MAX
from tests.e2e.traffic import sipp
from tests.wait import until
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S, Endpoint
from tools.scenario.sipp import received

CALLER: Final = "127.1.205.9"
NUMBER, ITS_OWN = "887050000001", "887059000001"  # what both carriers sell, and the sick one alone
SICK, WELL = "127.1.205.1", "127.1.205.2"
STATUS = "__STATUS__"

WORLD = """
select world.tariff('Tandem', 'sick', 'EUR', '88705', '0.03');
select world.reseller('sick-reseller', 'Tandem', 'sick', 50);
select world.tariff('sick-reseller', 'retail', 'EUR', '88705', '0.06');
select world.customer('sick-customer', 'sick-reseller', 'retail', 50);
select world.domain('sick.example', 'sick-customer');
select world.subscriber('pbx@sick.example', 'sick-customer', null, '887051000001');
select world.trusted('pbx@sick.example', '127.1.205.9/32', 'udp');
select world.carrier_of('sick-reseller', 'sick-sick', '127.1.205.1', 5080, '88705', '0.010');
select world.carrier_of('sick-reseller', 'sick-well', '127.1.205.2', 5080, '887050', '0.012');
"""

ATTEMPTS = """
select string_agg(s.name || ' ' || a.status, ', ' order by a.n)
  from tandem.cdr c join tandem.cdr_attempt a using (rid) join tandem.peering_server s on s.id = a.server_id
 where starts_with(c.call_id, %s) group by c.rid, c.started_at order by c.started_at
"""


def test_who_fails_again_and_again_is_passed_over_unless_nobody_else_is_left(
    endpoint: Endpoint, watch: Watch, tmp_path: Path
) -> None:
    """Three failures, and the next call goes straight to the other carrier; a number that he lacks is tried there."""
    watch.load_world("sick-", WORLD)
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
    run_id = f"sick-{secrets.token_hex(4)}"
    with ExitStack() as parties:
        for address, file in ((SICK, "uas-refuse.xml"), (WELL, "uas-answer.xml")):
            callee = sipp(
                endpoint, tmp_path, file, address, calls=99, edit=lambda text: text.replace(STATUS, "503")
            )  # more than come: it stays
            parties.callback(callee.wait)
            parties.callback(callee.kill)
        assert _call(endpoint, tmp_path, NUMBER, f"{run_id}-a", FAILURES_MAX + 1) == 0
        assert _call(endpoint, tmp_path, ITS_OWN, f"{run_id}-b", 1, "uac-plain-refused.xml") == 0
        with psycopg.connect(endpoint.database_url, autocommit=True) as database:
            calls = FAILURES_MAX + 2
            until(lambda: len(_attempts(database, run_id)) == calls, 20, "a record of every call")
            tried = _attempts(database, run_id)
    both = ["sick-sick 503, sick-well 200"] * FAILURES_MAX
    assert tried == [*both, "sick-well 200", "sick-sick 503"]
    assert len(received(tmp_path / "uas-refuse.xml.messages", "INVITE")) == FAILURES_MAX + 1


def _call(endpoint: Endpoint, folder: Path, number: str, call_id: str, calls: int, file: str = "uac-plain.xml") -> int:
    """Place calls one after the other; return what SIPp says."""
    return sipp(
        endpoint, folder, file, CALLER, "-s", number, "-key", "user", "pbx", "-key", "domain", "sick.example",
        "-l", "1", "-d", "100", "-cid_str", f"{call_id}-%u@tandem",
        calls=calls, edit=lambda text: text.replace(STATUS, "503"),
    ).wait(60)  # fmt: skip


def _attempts(database: psycopg.Connection[tuple[str]], run_id: str) -> list[str]:
    return [text for (text,) in database.execute(ATTEMPTS, (run_id,)).fetchall()]
