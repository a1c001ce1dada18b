"""Whatever bytes arrive, reading gives a CallRequest or says what is wrong."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi.adapters.ksr_read import HEAD_MAX, LINES_MAX, Malformed, _line_fault, looked_at, read, text
from kemi.core.request import CallRequest, SipUri
from tests.fakes.ksr import FakeKsr

NOW_MS = 1_770_000_000_000


def test_a_plain_invite_is_read() -> None:
    ksr = FakeKsr()
    ksr.headers = {"Privacy": "id", "User-Agent": "phone/1", "P-Asserted-Identity": "<sip:+44@a.example>"}

    request = read(ksr, NOW_MS)

    assert request == CallRequest(
        method="INVITE",
        call_id="call-1",
        from_tag="tag-1",
        cseq="1",
        source_ip="192.0.2.1",
        source_port=5060,
        transport="udp",
        ruri=SipUri("sip", "33140000000", "a.example"),
        from_uri=SipUri("sip", "alice", "a.example"),
        to_uri=SipUri("sip", "33140000000", "a.example"),
        received_ms=NOW_MS,
        privacy="id",
        user_agent="phone/1",
        pai="<sip:+44@a.example>",
    )


@pytest.mark.parametrize(("method", "header"), [("INVITE", "Proxy-Authorization"), ("REGISTER", "Authorization")])
def test_credentials_are_those_of_the_methods_header(method: str, header: str) -> None:
    ksr = FakeKsr()
    ksr.method = method
    ksr.headers = {
        header: 'Digest username="alice", realm="a.example", nonce="n", uri="sip:a.example", response="r", '
        'algorithm=MD5, qop=auth, nc=00000001, cnonce="c"'
    }

    request = read(ksr, NOW_MS)

    assert isinstance(request, CallRequest)
    assert request.credentials is not None
    assert request.credentials.username == "alice"


def test_credentials_of_another_method_do_not_count() -> None:
    ksr = FakeKsr()
    ksr.headers = {"Authorization": 'Digest username="alice", realm="a.example", nonce="n"'}

    request = read(ksr, NOW_MS)

    assert isinstance(request, CallRequest)
    assert request.credentials is None


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("$ru", "tel:+33140000000", "unsupported_scheme"),
        ("$ru", "mailto:a@b", "malformed"),
        ("$ru", b"sip:\xff\xfe@a.example", "malformed"),
        ("$fu", b"sip:\xff\xfe@a.example", "malformed"),
        ("$fu", "no uri", "malformed"),
        ("$tu", None, "malformed"),
        ("$ci", "", "malformed"),
        ("$ci", "x" * 257, "malformed"),
        ("$ft", None, "malformed"),
        ("$cs", "9" * 200, "malformed"),
    ],
)
def test_what_cannot_become_a_call_is_named(variable: str, value: str | bytes | None, reason: str) -> None:
    ksr = FakeKsr()
    ksr.pvs[variable] = value

    request = read(ksr, NOW_MS)

    assert isinstance(request, Malformed)
    assert request.reason == reason


@pytest.mark.parametrize("head", [b"X-Any: \xff\xfe", b"X-Any: a\0b", b"X-Any: bell\x07", b"X-Any: \x7f"])
def test_a_head_with_bytes_that_are_no_text_is_malformed(head: bytes) -> None:
    ksr = FakeKsr()
    ksr.message = b"INVITE sip:a SIP/2.0\r\n" + head + b"\r\n\r\nbody"

    assert isinstance(read(ksr, NOW_MS), Malformed)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"\0\1\2"])
def test_a_binary_body_is_none_of_our_business(body: bytes) -> None:
    ksr = FakeKsr()
    ksr.message = "INVITE sip:a SIP/2.0\r\nSubject: é\r\n\r\n".encode() + body

    assert isinstance(read(ksr, NOW_MS), CallRequest)


def test_a_long_number_and_a_missing_user_are_for_the_decision() -> None:
    ksr = FakeKsr()
    ksr.pvs["$ru"], ksr.pvs["$fu"] = f"sip:{'1' * 300}@a.example", "sip:a.example"

    request = read(ksr, NOW_MS)

    assert isinstance(request, CallRequest)
    assert (len(request.ruri.user), request.from_uri.user) == (300, "")


def test_a_look_up_for_the_log_never_fails() -> None:
    ksr = FakeKsr()
    ksr.headers["Route"] = b"<sip:\xff>"

    assert text(lambda: ksr.hdr.gete("Route")) == ""
    assert text(lambda: None) == ""
    assert text(lambda: 5) == "5"


@pytest.mark.parametrize(
    "head",
    [
        b"Subject: a\rP-Asserted-Identity: <sip:b@c>",
        b"Subject: a\nP-Asserted-Identity: <sip:b@c>",
        b"Subject: a\r\rb: c",
        b"Subject: a\n\nb: c",
        b"Subject: a\n\r\nb: c",
        b"Subject: a\n b",
    ],
)
@pytest.mark.parametrize("before", [b"", b"\r\n\r\n", b"\n"])
def test_a_line_that_other_parsers_end_elsewhere_is_malformed(before: bytes, head: bytes) -> None:
    """Behind a lone CR or LF another element would see a header that we have not looked at."""
    ksr = FakeKsr()
    ksr.message = before + b"INVITE sip:a SIP/2.0\r\n" + head + b"\r\n\r\nv=0\n"

    assert isinstance(read(ksr, NOW_MS), Malformed)


@pytest.mark.parametrize(
    "lines",
    [
        *(
            b"From: a\r\nf : b",
            b"To: a\r\nT\t: b",
            b"i: a\r\nCall-ID: b",
            b"CSeq: 1\r\ncseq: 2",
            b"l: 0\r\nContent-Length: 1",
        ),
        *(b"m: a\r\nContact: b", b"Expires: 1\r\nExpires: 1", b"Max-Forwards: 1\r\nMAX-FORWARDS : 1"),
        *(b"NoColon", b": x", b"A B: x", b"A\xc3\xa9: x", b"(A): x", b" folded into the first line", b"A: x\r\n \t"),
        b"X: " + b"y" * HEAD_MAX,
        b"\r\n".join(b"X: y" for _ in range(LINES_MAX + 1)),
    ],
)
def test_a_head_that_two_parsers_may_read_in_two_ways_is_malformed(lines: bytes) -> None:
    ksr = FakeKsr()
    ksr.message = b"INVITE sip:a SIP/2.0\r\n" + lines + b"\r\n\r\n"

    assert isinstance(read(ksr, NOW_MS), Malformed)


def test_a_registration_has_as_many_contacts_as_it_likes_and_everybody_routes() -> None:
    ksr = FakeKsr()
    for method in (b"REGISTER", b"INVITE"):
        ksr.message = (
            method + b" sip:a SIP/2.0\r\nVia: a\r\nv: b\r\nRoute: c\r\nRoute: d\r\nPrivacy: id\r\nPrivacy: id\r\n\r\n"
        )
        assert isinstance(read(ksr, NOW_MS), CallRequest)
    ksr.message = b"REGISTER sip:a SIP/2.0\r\nContact: a\r\nm: b\r\n\r\n"
    assert isinstance(read(ksr, NOW_MS), CallRequest)


def test_a_folded_line_and_a_body_of_any_lines_are_read() -> None:
    ksr = FakeKsr()
    ksr.message = b"\r\nINVITE sip:a SIP/2.0\r\nSubject: a\r\n b\tc\r\n\r\nv=0\no=-\r"

    assert isinstance(read(ksr, NOW_MS), CallRequest)


def _digest(realm: str, username: str = "alice") -> str:
    return f'Digest username="{username}", realm="{realm}", nonce="n", uri="sip:a.example", response="r"'


@pytest.mark.parametrize(
    ("headers", "username"),
    [
        ([_digest("other.example", "x"), _digest("a.example")], "alice"),
        ([_digest("a.example"), _digest("a.example", "bob")], None),
        (["", "Basic x", _digest("a.example")], "alice"),
    ],
)
def test_credentials_are_those_for_the_callers_domain(headers: list[str], username: str | None) -> None:
    ksr = FakeKsr()
    ksr.headers = {"Proxy-Authorization": headers}

    request = read(ksr, NOW_MS)

    assert isinstance(request, CallRequest)
    assert (request.credentials.username if request.credentials else None) == username


def test_every_privacy_header_counts() -> None:
    ksr = FakeKsr()
    ksr.headers = {"Privacy": ["none", "", "id"], "Contact": "<sip:ua@192.0.2.9>"}

    request = read(ksr, NOW_MS)

    assert isinstance(request, CallRequest)
    assert (request.privacy, request.contact, request.contacts) == ("none;;id", "<sip:ua@192.0.2.9>", ())


def test_the_contacts_of_a_registration_are_read_with_their_owner() -> None:
    ksr = FakeKsr()
    ksr.method = "REGISTER"
    ksr.headers = {"Contact": ["<sip:ua@192.0.2.9>, <sip:127.0.0.1>", "<sip:ua@127.0.0.1:5062>"]}

    request = read(ksr, NOW_MS)

    assert isinstance(request, CallRequest)
    assert [(str(contact.uri), contact.is_ours) for contact in request.contacts] == [
        ("sip:ua@192.0.2.9", False),
        ("sip:127.0.0.1", True),
        ("sip:ua@127.0.0.1:5062", False),
    ]


@pytest.mark.parametrize(("contact", "is_wildcard"), [(["*"], True), ([" *", "<sip:ua@192.0.2.9>"], True), ([], False)])
def test_a_star_among_the_contacts_is_seen(contact: list[str], is_wildcard: bool) -> None:
    ksr = FakeKsr()
    ksr.method = "REGISTER"
    ksr.headers = {"Contact": contact}

    request = read(ksr, NOW_MS)

    assert isinstance(request, CallRequest)
    assert request.is_wildcard is is_wildcard


@pytest.mark.parametrize("contact", ["<sip:ua@192.0.2.9;maddr=203.0.113.7>", ["<sip:ua@192.0.2.9>"] * 130])
def test_contacts_that_cannot_be_read_are_malformed(contact: str | list[str]) -> None:
    ksr = FakeKsr()
    ksr.method = "REGISTER"
    ksr.headers = {"Contact": contact}

    assert isinstance(read(ksr, NOW_MS), Malformed)


LINES = (
    "From: a",
    "f: a",
    "Contact: b",
    "m :b",
    "Privacy\t: id",
    "X-Tandem-A:1",
    "VIA: c",
    "Via: d",
    " fold",
    "\t",
    "no header",
    "",
)


@given(st.sampled_from(("INVITE", "REGISTER")), st.lists(st.sampled_from(LINES), max_size=8))
def test_a_plain_head_is_judged_as_line_by_line(method: str, lines: list[str]) -> None:
    """The short way says what the long one says, and names every header that it could be asked for."""
    data = "\r\n".join((f"{method} sip:a SIP/2.0", *lines)).encode()

    found = looked_at(data)

    assert found.fault == _line_fault(data)
    if not found.fault:
        names = {line.partition(":")[0].strip().lower() for line in lines if ":" in line}
        assert all(found.may_have(name) for name in (names - {"f", "m"}) | ({"from"} if "f" in names else set()))
        assert bool(found.among(("X-Tandem-*",))) is ("x-tandem-a" in names or found.names is None)


ODD = re.compile(rb"\r(?!\n)|(?<!\r)\n|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # RFC 3261 §25.1, as it stands there


@given(
    st.lists(st.sampled_from(("a", ":", "\r\n", "\r", "\n", "\t", "\0", "\x0b", "\x1f", "\x7f", "\x80")), max_size=9)
)
def test_what_no_head_may_contain_is_found_anywhere(pieces: list[str]) -> None:
    data = f"INVITE sip:a SIP/2.0\r\nX: {''.join(pieces)}".encode("latin-1")

    fault = looked_at(data).fault

    assert (fault in ("CR or LF alone in a header", "control character in a header")) is bool(ODD.search(data))


def test_a_header_that_is_not_there_is_not_asked_for() -> None:
    ksr = FakeKsr()
    ksr.headers = {"Privacy": "id"}

    read(ksr, NOW_MS)

    assert ksr.did("hdr.get_idx") == [("Privacy", 0)]
