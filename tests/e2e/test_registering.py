"""A carrier that wants us to register with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.e2e.traffic import sipp
from tools.noc import ask
from tools.scenario.observe import Watch
from tools.scenario.run import Endpoint
from tools.scenario.sipp import received
from tools.stack import plan
from tools.stack.stack import Stack
from tools.wait import until

CARRIER = "127.1.204.1"

WORLD = """
select world.tariff('Tandem', 'login', 'EUR', '88894', '0.03');
select world.reseller('login-reseller', 'Tandem', 'login', 50);
select world.carrier_of('login-reseller', 'login-carrier', '127.1.204.1', 5080, '88894', '0.012');
select world.peer_option('login-carrier', 'login', 'trunk:carrier.example:trunk-secret');
select world.peer_option('login-carrier', 'login_register_s', '600');
select world.peer_option('login-carrier', 'login_contact_user', '888940000001');
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
        assert re.search(rf"(?m)^Contact: <sip:888940000001@{re.escape(endpoint.proxy)}>", message)
        assert "trunk-secret" not in message
    assert "ha1" not in str(_login(control))


def _login(control: str) -> dict[str, Any]:
    """Return what the node tells of the login there, {} = nothing yet."""
    logins: list[dict[str, Any]] = ask(control, "peers").get("logins", [])
    return next((login for login in logins if "login-carrier" in login["name"]), {})
