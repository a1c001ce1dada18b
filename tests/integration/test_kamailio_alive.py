"""A call that nobody ends: both sides are asked whether it goes on, and it ends when neither says anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dialogs import CALLER, confirm, talking
from tests.edge import Edge, running_edge

LONG_S = 60.0


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node for all tests of this file."""
    with running_edge({"TANDEM_ALIVE_S": "1"}) as running:
        yield running


def test_a_call_goes_on_while_one_side_answers_and_ends_when_none_does(edge: Edge) -> None:
    with edge.phone(CALLER) as phone:
        _, final = talking(edge, phone)
        for endpoint, status in ((phone, 481), (edge.acme, 200)):
            asked = endpoint.wait_request("OPTIONS", LONG_S)
            assert (asked.get("Call-ID"), asked.get("CSeq").split()[1]) == (final.get("Call-ID"), "OPTIONS")
            endpoint.send(endpoint.reply(asked, status, "So"))
        phone.send(phone.within("INFO", final, cseq=3))  # our question has not got into its way
        info = edge.acme.wait_request("INFO")
        edge.acme.send(edge.acme.reply(info, 200, "OK"))
        assert edge.events(final.get("Call-ID")) == []

        for endpoint in (phone, edge.acme):  # by now nobody is there any more, until our BYE
            confirm(endpoint, 3 * LONG_S)
        end = edge.event(final.get("Call-ID")).end
    assert (end.outcome, end.ended_by) == ("answered", "silent")
    assert end.billed_s == -(-end.talk_ms // 1000)
    edge.wait_idle()
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
