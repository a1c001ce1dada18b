"""CANCELs that come twice, early, late or to nobody: the record says cancelled, and never that we failed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.dialogs import LONG_S, SHORT, drained, one_caller
from tests.edge import Edge, running_edge
from tests.fakes.world import ABROAD
from tests.sip import Call, Endpoint, dial, parse, tag, uri


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node for all tests of this file."""
    with running_edge(SHORT) as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give the caller's endpoint; nothing may be left after the test."""
    with one_caller(edge) as endpoint:
        yield endpoint


def cancel_of(call: Call) -> str:
    """Return the CANCEL of a call, the same each time."""
    sent = parse(call.invite.encode())
    branch = sent.get("Via").partition("branch=")[2].partition(";")[0]
    return call.phone.request(
        "CANCEL",
        sent.ruri,
        caller=uri(sent.get("From")),
        callee=uri(sent.get("To")),
        call_id=sent.get("Call-ID"),
        from_tag=tag(sent.get("From")),
        cseq=int(sent.get("CSeq").split()[0]),
        branch=branch,
    )


@pytest.mark.parametrize("obeys", [True, False], ids=["obeyed", "not heard"])
@pytest.mark.parametrize("rings", [True, False], ids=["ringing", "silent"])
def test_a_cancel_that_comes_three_times_is_one(edge: Edge, phone: Endpoint, *, rings: bool, obeys: bool) -> None:
    """In one burst, to a server that takes its time: every one is answered 200, the INVITE 487, and nobody failed."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    if rings:
        edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
        while phone.receive().status != 180:
            continue
    for _ in range(3):
        phone.send(cancel_of(call))
    cancelled = [phone.final(LONG_S)]
    if rings:
        asked = edge.acme.wait_request("CANCEL")
        if obeys:
            edge.acme.send(edge.acme.reply(asked, 200, "OK"))
    if obeys:
        edge.acme.send(edge.acme.reply(invite, 487, "Request Terminated"))
    while cancelled[-1].method == "CANCEL":
        cancelled.append(phone.final(LONG_S))
    phone.ack(call.invite, cancelled[-1])

    assert {(each.method, each.status) for each in cancelled} == {("CANCEL", 200), ("INVITE", 487)}
    end = edge.event(invite.get("Call-ID")).end
    assert (end.outcome, end.status, end.reason, end.ended_by) == ("cancelled", 487, "cancelled", "caller")
    drained(edge.acme)


def outcome_of(edge: Edge, call_id: str) -> str:
    """Return what the node's dialog of a call keeps of its outcome, as JSON, "" = nothing yet."""
    (dialog,) = [each for each in edge.node.kamcmd("dlg.list").split("h_entry:") if f"call-id: {call_id}\n" in each]
    return dialog.partition("outcome: ")[2].partition("\n")[0]


def test_the_call_knows_at_once_that_it_is_cancelled(edge: Edge, phone: Endpoint) -> None:
    """Not first when its server says so: Kamailio may answer the INVITE by itself, and asks nobody then."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
    edge.acme.silent()
    call_id = invite.get("Call-ID")
    assert outcome_of(edge, call_id) == ""
    phone.send(cancel_of(call))
    asked = edge.acme.wait_request("CANCEL")
    assert json.loads(outcome_of(edge, call_id))[:2] == [487, True]
    for request, status in ((asked, 200), (invite, 487)):
        edge.acme.send(edge.acme.reply(request, status, "So"))
    while call.final().method == "CANCEL":
        continue
    assert edge.event(call_id).end.outcome == "cancelled"
