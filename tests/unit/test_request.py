"""The operation id of a call."""

from __future__ import annotations

from kemi.core.request import SipUri, reservation_id
from tests.fakes.world import request


def test_a_retransmission_has_the_same_id() -> None:
    """A retransmission repeats the request byte by byte, from where it came; when it arrives does not matter."""
    assert reservation_id(request()) == reservation_id(request(received_ms=request().received_ms + 500))
    assert len(reservation_id(request())) == 32
    assert int(reservation_id(request()), 16)


def test_each_part_of_the_identity_makes_another_id() -> None:
    """Call-ID, From tag, CSeq, source and R-URI tell calls apart, and none can be shifted into another."""
    calls = (
        request(),
        request(call_id="call-2"),
        request(from_tag="tag-2"),
        request(cseq="2"),
        request(source_ip="192.0.2.99"),
        request(source_port=9),
        request(ruri=SipUri("sip", "442079460999", "a.example")),
        request(call_id="call-1\ntag", from_tag="-1"),
        request(call_id="not utf-8: \udcff"),
    )
    assert len({reservation_id(call) for call in calls}) == len(calls)
