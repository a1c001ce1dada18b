"""What a node and the lookup of names take for its own addresses."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from kemi.settings import Settings
from tools.resolve.lookup import own_hosts

NODE = {"TANDEM_NODE": "n", "REDIS_URL": "x", "TANDEM_SECRET": "s" * 32, "TANDEM_SPOOL": "/x"}
ONE, SIX = "192.0.2.1:5060", "[2001:db8::1]:5060"
MORE = "192.0.2.2:5070  [2001:db8::2]:5060 198.51.100.1:5060"


@pytest.mark.parametrize(
    ("env", "places"),
    [
        ({"TANDEM_LISTEN": ONE}, (ONE,)),
        ({"TANDEM_LISTEN": ONE, "TANDEM_LISTEN6": SIX}, (ONE, SIX)),
        ({"TANDEM_LISTEN": ONE, "TANDEM_LISTEN_MORE": MORE}, (ONE, *MORE.split())),
        ({"TANDEM_LISTEN": ONE, "TANDEM_LISTEN6": SIX, "TANDEM_LISTEN_MORE": MORE}, (ONE, SIX, *MORE.split())),
        ({"TANDEM_LISTEN": ONE, "TANDEM_LISTEN6": "", "TANDEM_LISTEN_MORE": ""}, (ONE,)),
    ],
)
def test_every_place_is_known_where_sip_is_heard(env: dict[str, str], places: tuple[str, ...]) -> None:
    """Further sockets and what the world calls a node behind a NAT are said beside the sockets that it sends from."""
    assert Settings.from_environment(NODE | env).listens == places
    assert own_hosts(env) == {ip_address(place.rpartition(":")[0].strip("[]")) for place in places}


def test_what_cannot_be_read_is_no_address() -> None:
    """`off` says that there is no IPv6; nobody listens at a name."""
    assert own_hosts({"TANDEM_LISTEN": ONE, "TANDEM_LISTEN6": "off", "TANDEM_LISTEN_MORE": "sip.example:5060"}) == {
        ip_address("192.0.2.1")
    }
