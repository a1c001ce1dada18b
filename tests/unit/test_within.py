"""Requests of a call that this node did not see begin."""

from __future__ import annotations

import pytest

from kemi.adapters.ksr_queue import Ended
from kemi.core.token import Origin, sign
from tests.unit.test_worker import RID, SECRET, Scene, route, server

OF_ANOTHER_NODE = Origin("n9", 5, ("192.0.2.9",))
TOKEN = sign(SECRET, RID, "call-1", "tag-1", OF_ANOTHER_NODE)


@pytest.mark.parametrize(
    ("method", "token", "ruri", "status", "is_passed_on"),
    [
        ("BYE", TOKEN, "sip:bob@192.0.2.9", 0, True),
        ("ACK", TOKEN, "sip:bob@192.0.2.9", 0, True),
        ("BYE", TOKEN, "sip:bob@192.0.2.10", 200, False),
        ("BYE", TOKEN, "sip:bob@192.0.2.9;maddr=192.0.2.10", 200, False),
        ("INVITE", TOKEN, "sip:bob@192.0.2.9", 481, False),
        ("BYE", sign(SECRET, RID, "another", "tag-1", OF_ANOTHER_NODE), "sip:bob@192.0.2.9", 481, False),
        ("BYE", sign(SECRET, RID, "call-1", "another", OF_ANOTHER_NODE), "sip:bob@192.0.2.9", 481, False),
        ("BYE", sign(SECRET, RID, "call-1", "tag-1", Origin("n1", 5, ("192.0.2.9",))), "sip:x@192.0.2.9", 481, False),
        ("BYE", "", "sip:bob@192.0.2.9", 481, False),
    ],
)
def test_of_a_call_of_before_only_the_end_passes_and_only_to_its_hosts(
    method: str, token: str, ruri: str, status: int, *, is_passed_on: bool
) -> None:
    scene = Scene(route(server(1)))
    scene.ksr.method = method
    scene.ksr.results["siputils.has_totag"] = 1
    scene.ksr.tables["noc"]["boot"] = "1"
    scene.ksr.pvs.update({"$(hdr(Route)[*])": f"<sip:127.0.0.1:5060;lr=on;tdm={token}>", "$ru": ruri, "$tt": "to"})

    scene.request()

    assert bool(scene.ksr.did("tm.t_relay")) is is_passed_on
    assert [sent[0] for sent in scene.ksr.sent] == ([status] if status else [])
    is_end = method == "BYE" and status != 481
    assert [type(message) for message in scene.queued()] == ([Ended] if is_end else [])
