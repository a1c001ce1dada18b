"""Who registers: we with a carrier that wants it, and phones with us."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tests.e2e.traffic import sipp
from tests.wait import until
from tools.noc_ask import ask
from tools.prove_phones import REDIS_TIMEOUT_MS, line_of, on
from tools.scenario.observe import Watch
from tools.scenario.run import Endpoint
from tools.scenario.sipp import received
from tools.stack import plan
from tools.stack.stack import Stack

CARRIER = "127.1.204.1"

WORLD = """
select world.tariff('Tandem', 'login', 'EUR', '88704', '0.03');
select world.reseller('login-reseller', 'Tandem', 'login', 50);
select world.carrier_of('login-reseller', 'login-carrier', '127.1.204.1', 5080, '88704', '0.012');
select world.peer_option('login-carrier', 'login', 'trunk:carrier.example:trunk-secret');
select world.peer_option('login-carrier', 'login_register_s', '600');
select world.peer_option('login-carrier', 'login_contact_user', '887040000001');
"""


def test_it_is_registered_with_and_the_noc_can_see_it(
    endpoint: Endpoint, stack: Stack, watch: Watch, tmp_path: Path
) -> None:
    """REGISTER, its challenge answered once and rightly, our number as the Contact; and nowhere the password."""
    carrier = sipp(endpoint, tmp_path, "uas-registrar.xml", CARRIER, calls=1)
    try:
        watch.load_world("login-", WORLD)
        control = plan.environment(stack.layout)["TANDEM_CTL"]
        until(lambda: _login(control).get("status") == 200, 40, "the carrier to take our registration")
        assert carrier.wait(10) == 0
    finally:
        carrier.kill()
        carrier.wait()
    first, second = received(tmp_path / "uas-registrar.xml.messages", "REGISTER")
    assert not re.search(r"(?im)^authorization", first)
    assert re.search(r'(?m)^Authorization: Digest username="trunk", realm="carrier\.example".* response="', second)
    for message in (first, second):
        assert re.search(r"(?m)^To: <sip:trunk@127\.1\.204\.1>", message)
        assert re.search(rf"(?m)^Contact: <sip:887040000001@{re.escape(endpoint.proxy)}>", message)
        assert "trunk-secret" not in message
    assert "ha1" not in str(_login(control))


def test_no_phone_is_lost_when_all_is_killed(stack: Stack) -> None:
    """Three hundred refresh at 100/s; in the middle Kamailio and Redis end as in an accident. All are known again."""
    proof = on(stack, 300, 100.0, print)
    assert proof == (300, 300, 0, 0, 0), proof


def test_a_phone_that_is_lost_is_counted(stack: Stack) -> None:
    """One is taken out of Redis before the kill, so no node can know it again until it refreshes."""
    victim = keys.location(line_of(300))  # the last to refresh: after the kill

    def take_out(_: str) -> None:
        with closing(RedisClient(plan.environment(stack.layout)["REDIS_URL"], REDIS_TIMEOUT_MS)) as client:
            client.execute("DEL", victim)

    proof = on(stack, 300, 100.0, take_out, known_s=2)
    assert proof == (300, 300, 0, 1, 0), proof


def _login(control: str) -> dict[str, Any]:
    """Return what the node tells of the login there, {} = nothing yet."""
    logins: list[dict[str, Any]] = ask(control, "peers").get("logins", [])
    return next((login for login in logins if "login-carrier" in login["name"]), {})
