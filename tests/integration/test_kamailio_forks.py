"""Phones that ring together in a real Kamailio, by routes that the test makes: who can answer, who is told what."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack

from kemi.adapters.ksr_locations import signed_register
from kemi.core.outcome import Stage
from kemi.records import Location
from tests.dialogs import confirm, drained
from tests.edge import SOON_S
from tests.fakes.world import ALICE, BOB, BOB_NUMBER, CAROL
from tests.forked import (
    ELSEWHERE,
    Phones,
    answer,
    call_of,
    cancelled,
    end,
    hang_up,
    heard_ringing,
    refuse,
    ringing,
    rows,
    told,
)
from tests.kamailio_node import SECRET
from tests.planned_edge import PlannedEdge, line, server
from tests.sip import SDP, Endpoint, Message, parse, tag, uri
from tests.wait import until

NOW_S = 0.02  # of thirty phones, of which half do not ring: all have to be heard before the first one's time is over

# The first answer wins ------------------------------------------------------------------------------------------------


def test_all_phones_ring_and_the_first_answer_cancels_the_others(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    planned.route([Stage(0, 2, together=True)], [line(BOB), line(CAROL)])
    call = call_of(caller)
    invites = ringing(*phones.all)
    heard_ringing(caller, 3)

    final = answer(phones.carol, invites[2], call)
    reasons = [cancelled(phone, invite) for phone, invite in zip(phones.all[:2], invites[:2], strict=True)]
    bye = hang_up(caller, final, phones.carol)

    assert reasons == [ELSEWHERE, ELSEWHERE]
    assert told(end(planned, call)) == [(0, 0, ""), (1, 200, "")]
    assert [uri(invite.get("From")).partition("@")[2] for invite in invites] == ["a.example", "a.example", "b.example"]
    assert uri(bye.get("From")) == uri(invites[2].get("From")), "each is told of the caller as in its own INVITE"


def test_of_two_that_answer_at_once_one_has_the_call(planned: PlannedEdge, phones: Phones, caller: Endpoint) -> None:
    planned.route([Stage(0, 2, together=True)], [line(BOB), line(CAROL)])
    call = call_of(caller)
    invites = ringing(*phones.all)

    final = answer(phones.bob_1, invites[0], call)
    phones.carol.send(phones.carol.reply(invites[2], 200, "OK", body=SDP))  # before it has seen the CANCEL
    cancelled(phones.bob_2, invites[1])
    phones.carol.wait_request("ACK")
    bye = confirm(phones.carol)

    assert tag(bye.get("To")) == f"t{phones.carol.port}"
    assert [message.status for message in drained(caller) if message.method == "INVITE"] == []
    hang_up(caller, final, phones.bob_1)
    assert told(end(planned, call)) == [(1, 0, ""), (0, 200, "")]


def test_who_was_silent_for_too_long_cannot_take_the_call_from_the_others(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    """The stack drops its 200: were it taken for the answer, that of the next phone would be one too many."""
    planned.route([Stage(0, 2, together=True)], [line(BOB), line(CAROL)])
    call = call_of(caller)
    silent = phones.bob_1.wait_request("INVITE")
    invites = ringing(phones.bob_2, phones.carol)
    until(lambda: any("/over/" in row for row in rows(planned)), SOON_S, "the silent phone to be given up")

    phones.bob_1.send(phones.bob_1.reply(silent, 200, "OK", body=SDP))
    phones.bob_1.wait_request("ACK")
    confirm(phones.bob_1)
    final = answer(phones.carol, invites[1], call)
    cancelled(phones.bob_2, invites[0])

    hang_up(caller, final, phones.carol)
    assert told(end(planned, call)) == [(0, 0, ""), (1, 200, "")]


def test_nine_and_twenty_contacts_ring_and_one_branch_is_left_for_what_follows(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    planned.route(
        [Stage(0, 3, together=True, busy=1), Stage(3, 1)], [line(BOB), line(CAROL), line(ALICE), server(phones.box)]
    )
    with ExitStack() as stack:
        more = [
            stack.enter_context(planned.phone(who, "127.0.0.24")) for who in (BOB,) * 8 + (CAROL,) * 9 + (ALICE,) * 10
        ]
        everybody = [*phones.all, *more]
        call = call_of(caller)
        asked = [(phone, invite) for phone in everybody for invite in invited(phone)]
        for phone, invite in asked:
            refuse(phone, invite, 486)
        (taken,) = ringing(phones.box)
        final = answer(phones.box, taken, call)
        hang_up(caller, final, phones.box)

    assert len(everybody) == 30
    assert len(asked) == 29
    assert told(end(planned, call)) == [(0, 486, ""), (1, 486, ""), (2, 486, ""), (3, 200, "")]


def test_a_line_with_many_phones_leaves_room_to_the_others(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    """Fifteen branches, as much may follow: nine phones of the first line ring, and three of each other one."""
    after = [Stage(3, 1)] * 16
    planned.route(
        [Stage(0, 3, together=True, busy=1), *after], [line(BOB), line(CAROL), line(ALICE), server(phones.box)]
    )
    with ExitStack() as stack:
        lines = (BOB,) * 8 + (CAROL,) * 9 + (ALICE,) * 10
        more = [stack.enter_context(planned.phone(who, "127.0.0.24")) for who in lines]
        whose = dict(zip((*phones.all, *more), (BOB, BOB, CAROL, *lines), strict=True))
        asked: list[Endpoint] = []

        def have_rung() -> bool:
            for phone in set(whose).difference(asked):
                for invite in invited(phone, NOW_S):
                    refuse(phone, invite, 486)
                    asked.append(phone)
            return len(asked) >= 15

        call = call_of(caller)
        until(have_rung, SOON_S, "fifteen phones to ring")
        (taken,) = ringing(phones.box)
        hang_up(caller, answer(phones.box, taken, call), phones.box)

    assert Counter(whose[phone] for phone in asked) == {BOB: 9, CAROL: 3, ALICE: 3}
    assert told(end(planned, call)) == [(0, 486, ""), (1, 486, ""), (2, 486, ""), (3, 200, "")]


def invited(phone: Endpoint, within_s: float = 1.0) -> list[Message]:
    """Return the INVITE of a phone, none where none comes soon."""
    try:
        return [phone.wait_request("INVITE", within_s)]
    except TimeoutError:
        return []


# The caller ---------------------------------------------------------------------------------------------------------


def test_a_caller_who_hangs_up_stops_all_phones_with_his_own_reason(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    planned.route([Stage(0, 2, together=True, no_answer=1), Stage(2, 1)], [line(BOB), line(CAROL), server(phones.box)])
    call = call_of(caller)
    invites = ringing(*phones.all)
    reason = 'SIP;cause=487;text="I have changed my mind"'
    sent = parse(call.invite.encode())
    branch = sent.get("Via").partition("branch=")[2].partition(";")[0]
    caller.send(
        caller.request(
            "CANCEL",
            sent.ruri,
            call_id=sent.get("Call-ID"),
            from_tag=tag(sent.get("From")),
            cseq=2,
            branch=branch,
            extra=(f"Reason: {reason}",),
        )
    )

    reasons = [cancelled(phone, invite) for phone, invite in zip(phones.all, invites, strict=True)]

    assert reasons == [reason] * 3
    assert (caller.final().status, call.final().status) == (200, 487)
    assert phones.box.silent()
    assert told(end(planned, call)) == [(0, 0, ""), (1, 0, "")]
    assert end(planned, call).outcome == "cancelled"


def test_a_phone_that_answers_while_the_caller_hangs_up_is_ended(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    """Either the call is answered and its BYE follows, or it is cancelled: never a phone that is left alone."""
    planned.route([Stage(0, 2, together=True)], [line(BOB), line(CAROL)])
    call = call_of(caller)
    invites = ringing(*phones.all)
    call.cancel()
    for phone in phones.all:
        phone.wait_request("CANCEL")
    phones.carol.send(phones.carol.reply(invites[2], 200, "OK", body=SDP))
    for phone, invite in zip(phones.all[:2], invites[:2], strict=True):
        phone.send(phone.reply(invite, 487, "Request Terminated"))

    while (final := caller.final()).method != "INVITE":
        assert final.status == 200
    caller.ack(call.invite, final)
    phones.carol.wait_request("ACK")
    if final.status == 200:
        hang_up(caller, final, phones.carol)
    else:
        confirm(phones.carol)

    assert end(planned, call).outcome == {200: "answered", 487: "cancelled"}[final.status]


# Odd places -----------------------------------------------------------------------------------------------------------


def test_a_trunk_is_told_what_was_dialled(planned: PlannedEdge, phones: Phones, caller: Endpoint) -> None:
    """In the R-URI instead of what it has registered, or in the To; each in its own branch only, not to the caller."""
    dialled = f"+{BOB_NUMBER}"
    planned.route(
        [Stage(0, 2, together=True)], [line(BOB, user=dialled), line(CAROL, to_uri=f"sip:{dialled}@b.example")]
    )
    call = call_of(caller)
    invites = ringing(*phones.all)
    final = answer(phones.carol, invites[2], call)
    for phone, invite in zip(phones.all[:2], invites[:2], strict=True):
        cancelled(phone, invite)
    bye = hang_up(caller, final, phones.carol)

    assert [invite.ruri for invite in invites] == [
        f"sip:{dialled}@{phones.bob_1.at}", f"sip:{dialled}@{phones.bob_2.at}", phones.carol.contact
    ]  # fmt: skip
    as_dialled = f"sip:{BOB_NUMBER}@a.example"
    tos = [uri(invite.get("To")) for invite in invites]
    assert tos == [as_dialled, as_dialled, f"sip:{dialled}@b.example"]
    assert uri(final.get("To")) == as_dialled
    assert (bye.ruri, uri(bye.get("To"))) == (phones.carol.contact, tos[2])


def test_the_other_place_of_an_ip_trunk_is_asked_when_the_first_fails(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    with planned.edge.phone("127.0.0.31") as other:
        planned.route([Stage(0, 2)], [server(other), server(phones.box)])
        call = call_of(caller)
        refuse(other, other.wait_request("INVITE"), 503)
        (taken,) = ringing(phones.box)
        final = answer(phones.box, taken, call)
        hang_up(caller, final, phones.box)

    assert told(end(planned, call)) == [(0, 503, ""), (1, 200, "")]
    assert planned.edge.node.kamcmd("htable.dump", "channels") == "", "no carrier has a call more"


def test_a_server_rings_beside_phones(planned: PlannedEdge, phones: Phones, caller: Endpoint) -> None:
    """As an IP trunk in a group that rings at once."""
    planned.route([Stage(0, 2, together=True)], [line(CAROL), server(phones.box, "123")])
    call = call_of(caller)
    invites = ringing(phones.carol, phones.box)
    heard_ringing(caller, 2)
    final = answer(phones.box, invites[1], call)
    assert cancelled(phones.carol, invites[0]) == ELSEWHERE
    hang_up(caller, final, phones.box)

    assert invites[1].ruri == f"sip:123@{phones.box.at}"
    assert told(end(planned, call)) == [(0, 0, ""), (1, 200, "")]


def test_a_contact_that_cannot_be_reached_at_all_changes_nothing_for_the_others(
    planned: PlannedEdge, phones: Phones, caller: Endpoint
) -> None:
    """Its branch is never made, so those behind it have other numbers: who answers is known by his own contact."""
    with planned.edge.phone("127.0.0.25") as odd, planned.edge.phone("127.0.0.26") as another:
        register_over_sctp(odd, BOB)
        planned.route(
            [Stage(0, 3, together=True), Stage(3, 1)], [line(BOB), line(CAROL), line(ALICE), server(phones.box)]
        )
        call = call_of(caller)
        invites = ringing(*phones.all)
        final = answer(phones.carol, invites[2], call)
        for phone, invite in zip(phones.all[:2], invites[:2], strict=True):
            cancelled(phone, invite)
        hang_up(caller, final, phones.carol)
        assert told(end(planned, call)) == [(2, 480, ""), (0, 0, ""), (1, 200, "")]

        for phone in (odd, another):
            register_over_sctp(phone, ALICE)
        planned.route([Stage(0, 1, together=True, unreachable=1), Stage(1, 1)], [line(ALICE), server(phones.box)])
        call = call_of(caller)
        (taken,) = ringing(phones.box)
        final = answer(phones.box, taken, call)
        hang_up(caller, final, phones.box)
        assert told(end(planned, call)) == [(0, 503, "unreachable"), (1, 200, "")]


def register_over_sctp(phone: Endpoint, user: str) -> None:
    """Let the node learn, as of a node of before, of a contact that it has no socket for; it takes none itself."""
    contact = f"{phone.contact};transport=sctp"
    now_s = int(time.time())
    row = Location(contact, "", "", now_s + 60, -1, f"odd-{phone.port}", 1, "odd", "", "", 0, now_s, "older")
    phone.send(signed_register(user, row, "older", now_s, f"odd{phone.port}", SECRET))
    assert phone.final().status == 200
