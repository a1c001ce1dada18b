"""The sides of a call: where a request of the call goes, whatever the other side says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi.core.sides import _ANGLE, ROUTES_MAX, Side, contact_uri, counted, host_of, route_uris, source_uri

HOP = "sip:192.0.2.1:5070;transport=udp"
SIDE = Side("t", "sip:a@x", "192.0.2.1", HOP, "sip:a@192.0.2.8")


@pytest.mark.parametrize(
    ("contact", "uri"),
    [
        ('"A, B" <sip:a@192.0.2.1;ob>;expires=5', "sip:a@192.0.2.1;ob"),
        ("sip:a@192.0.2.1;expires=5", "sip:a@192.0.2.1"),
        ('"<sip:b@192.0.2.2>" <sip:a@192.0.2.1>', "sip:a@192.0.2.1"),
        (r' "\"<sip:b@192.0.2.2>"<sip:a@192.0.2.1>', "sip:a@192.0.2.1"),
        ('"<sip:b@192.0.2.2>', ""),
        ("<sip:a@192.0.2.1>, <sip:b@192.0.2.2>", "sip:a@192.0.2.1"),
        ("*", ""),
        ("", ""),
        ("<tel:+44>", ""),
        ("<sip:a b@192.0.2.1>", ""),
        ("<sip:a@b@192.0.2.1>", ""),
    ],
)
def test_the_contact_is_its_first_sip_uri(contact: str, uri: str) -> None:
    assert contact_uri(contact) == uri


@pytest.mark.parametrize(
    ("target", "route", "ruri", "next_hop"),
    [
        ("sip:a@192.0.2.8", (), "sip:a@192.0.2.8", ""),
        ("sip:a@192.0.2.8;transport=TCP", (), "sip:a@192.0.2.8;transport=TCP", ""),
        ("sip:a@[2001:db8::1]:5080", (), "sip:a@[2001:db8::1]:5080", ""),
        ("sip:a@name.example", (), "sip:a@name.example", HOP),
        ("sips:a@192.0.2.8", (), "sips:a@192.0.2.8", HOP),
        ("sip:a@192.0.2.8;transport=tls", (), "sip:a@192.0.2.8;transport=tls", HOP),
        ("sip:a@192.0.2.8;maddr=192.0.2.9", (), "sip:a@192.0.2.8;maddr=192.0.2.9", HOP),
        ("", (), HOP, ""),
        ("sip:a@name.example", ("sip:192.0.2.3;lr", "sip:192.0.2.4;lr"), "sip:a@name.example", "sip:192.0.2.3;lr"),
    ],
)
def test_a_request_goes_by_the_route_to_the_contact_or_back_where_it_came_from(
    target: str, route: tuple[str, ...], ruri: str, next_hop: str
) -> None:
    side = SIDE._replace(target=target, route=route)

    assert (side.ruri, side.next_hop) == (ruri, next_hop)


def test_a_contact_is_taken_from_its_own_address_only() -> None:
    own = SIDE.refreshed("192.0.2.1", "sip:192.0.2.1:9;transport=udp", "sip:a@192.0.2.77;transport=tcp")

    assert (own.target, own.hop) == ("sip:a@192.0.2.77;transport=tcp", "sip:192.0.2.1:9;transport=udp")
    assert SIDE.refreshed("192.0.2.66", HOP, "sip:a@192.0.2.66") == SIDE
    assert SIDE.refreshed("192.0.2.1", HOP, "") == SIDE


def test_a_side_is_where_it_sent_from_or_said_that_it_is() -> None:
    side = SIDE._replace(route=("sip:192.0.2.3;lr", "sip:192.0.2.4;lr"))

    assert [side.is_at(f"192.0.2.{host}") for host in (1, 8, 3, 4, 9)] == [True, True, True, False, False]


def test_a_cseq_never_falls() -> None:
    assert SIDE._replace(cseq=4).after(SIDE._replace(cseq=9)).cseq == 9


@pytest.mark.parametrize(
    ("header", "uris"),
    [
        ("<sip:a;lr>, <sip:b;lr>;x=1,<sip:c>", ("sip:a;lr", "sip:b;lr", "sip:c")),
        ("<sip:a;lr>, sip:victim;lr", ()),
        ('"sip:victim" <sip:a;lr>', ()),
        ("<sip:a>," * 17, ()),
        ("", ()),
    ],
)
def test_a_route_is_made_of_uris_in_brackets_only(header: str, uris: tuple[str, ...]) -> None:
    assert route_uris(header) == uris


def test_an_address_as_a_uri() -> None:
    assert source_uri("2001:db8::1", 5060, "UDP") == "sip:[2001:db8::1]:5060;transport=udp"
    assert host_of("sip:a@192.0.2.1:5060;transport=udp") == "192.0.2.1"
    assert host_of("nonsense") == ""


PIECES = ("<sip:a;lr>", "<sip:b>", "<", ">", ",", ", ", " ", ";x=1", "sip:c", '"n" ', "\t", "\x1c", "\u2003")


@given(st.lists(st.sampled_from(PIECES), max_size=2 * ROUTES_MAX + 4))
def test_routes_in_their_usual_form_are_read_like_all_others(pieces: list[str]) -> None:
    header = "".join(pieces)
    found = tuple(_ANGLE.findall(header))
    is_odd = len(found) > ROUTES_MAX or ":" in _ANGLE.sub("", header)

    assert route_uris(header) == (() if is_odd else found)


@pytest.mark.parametrize("cseq", [0, 7, 8])
def test_a_side_after_a_request_differs_in_its_cseq_alone(cseq: int) -> None:
    side = Side("t", "sip:a@x", "192.0.2.1", HOP, "sip:a@192.0.2.8", ("sip:p;lr",), 7, "sip:s@x", "udp:192.0.2.9:5060")

    assert counted(side, cseq) == side._replace(cseq=cseq)
