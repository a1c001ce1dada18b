"""Requests of a call that this node did not see begin."""

from __future__ import annotations

import pytest

from kemi.adapters import ksr_sides
from kemi.adapters.ksr_queue import Ended
from kemi.core.token import Origin, sign
from tests.unit.test_worker import RID, SECRET, Scene, route, server

OF_ANOTHER_NODE = Origin("n9", 5, ("192.0.2.9",))
TOKEN = sign(SECRET, RID, "call-1", "tag-1", OF_ANOTHER_NODE)


def of_before(host: str, token: str = TOKEN) -> Scene:
    """Return a BYE of a call that is not in this node's table, its Route naming `host`."""
    scene = Scene(route(server(1)))
    scene.ksr.method = "BYE"
    scene.ksr.results["siputils.has_totag"] = 1
    scene.ksr.tables["noc"]["boot"] = "1"
    routes = f"<sip:{host}:5060;lr=on;tdm={token}>"
    scene.ksr.pvs.update({"$(hdr(Route)[*])": routes, "$ru": "sip:bob@192.0.2.9", "$tt": "to"})
    return scene


def test_a_bye_is_taken_whichever_node_its_route_names() -> None:
    """The token says that it is a call of the cell; it is passed on to nobody, the agent ends the call."""
    scene = of_before("192.0.2.77")
    scene.ksr.results["is_myself"] = 0

    scene.request()

    assert ([sent[0] for sent in scene.ksr.sent], scene.ksr.did("tm.t_relay")) == ([200], [])
    (ended,) = scene.queued()
    assert isinstance(ended, Ended)
    assert not ended.is_relayed


def test_the_bye_of_an_adopted_call_is_answered_here_for_our_questions_have_overtaken_its_cseq() -> None:
    scene = of_before("127.0.0.1")
    scene.ksr.tables["calls"][RID] = "{}"

    scene.request()

    assert ([sent[0] for sent in scene.ksr.sent], scene.ksr.did("tm.t_relay")) == ([200], [])
    assert [message.is_relayed for message in scene.queued() if isinstance(message, Ended)] == [False]


def test_a_call_of_ours_that_another_node_has_taken_over_can_still_be_ended_here() -> None:
    scene = of_before("127.0.0.1", sign(SECRET, RID, "call-1", "tag-1", Origin("n1", 5, ("192.0.2.9",))))
    ksr_sides.hand_over(scene.ksr, RID)

    scene.request()

    assert scene.ksr.did("tm.t_relay")
    assert [type(message) for message in scene.queued()] == [Ended]


@pytest.mark.parametrize(("method", "replies"), [("BYE", [(200, "OK")]), ("INVITE", [])])
def test_who_says_bye_is_not_told_that_we_have_overtaken_it(method: str, replies: list[tuple[int, str]]) -> None:
    scene = of_before("127.0.0.1")
    scene.ksr.method = method
    scene.ksr.results["tm.t_get_status_code"] = 500

    scene.worker.ksr_within_failure(None)

    assert scene.ksr.did("tm.t_reply") == replies


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

    assert bool(scene.ksr.did("tm.t_relay") or scene.ksr.did("forward")) is is_passed_on
    assert [sent[0] for sent in scene.ksr.sent] == ([status] if status else [])
    is_end = method == "BYE" and status != 481
    assert [type(message) for message in scene.queued()] == ([Ended] if is_end else [])
