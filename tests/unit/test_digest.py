"""Digest: the vectors of the RFCs, our nonces and challenges, and headers that clients really send."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi.core.digest import (
    DUMMY_HA1,
    HEADER_MAX,
    _unusual,
    _usual,
    challenge_values,
    for_realm,
    make_nonce,
    nonce_state,
    parse_credentials,
    uri_matches,
    verify,
)
from kemi.core.request import Credentials, SipUri

SECRET = b"0123456789abcdef"
NOW_MS = 1_700_000_000_000
HERE = "203.0.113.9"
RFC_7616_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC_7616_HEADER = (
    'Digest username="Mufasa",\r\n realm="http-auth@example.org",\r\n uri="/dir/index.html",\r\n'
    " algorithm={algorithm},\r\n"
    f' nonce="{RFC_7616_NONCE}",\r\n nc=00000001,\r\n cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",\r\n'
    ' qop=auth,\r\n response="{response}",\r\n opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
MUFASA = b"Mufasa:http-auth@example.org:Circle of Life"
MUFASA_MD5 = hashlib.md5(MUFASA, usedforsecurity=False).hexdigest()
MUFASA_SHA256 = hashlib.sha256(MUFASA).hexdigest()
MD5_RESPONSE = "8ca523f5e9506fed4657c9700eebdbec"
SHA256_RESPONSE = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


def _rfc_7616(algorithm: str, response: str) -> Credentials:
    credentials = parse_credentials(RFC_7616_HEADER.format(algorithm=algorithm, response=response))
    assert credentials is not None
    return credentials


@pytest.mark.parametrize(("algorithm", "response"), [("MD5", MD5_RESPONSE), ("SHA-256", SHA256_RESPONSE)])
def test_rfc_7616_section_3_9_1(algorithm: str, response: str) -> None:
    """The RFC's own answers verify, with their header folded as printed."""
    assert verify(_rfc_7616(algorithm, response), "GET", MUFASA_MD5, MUFASA_SHA256)
    assert verify(_rfc_7616(algorithm.lower(), response.upper()), "GET", MUFASA_MD5, MUFASA_SHA256)
    assert not verify(_rfc_7616(algorithm, response), "POST", MUFASA_MD5, MUFASA_SHA256)


def test_rfc_2617_section_3_5() -> None:
    """The older RFC's answer verifies: it names no algorithm, which means MD5."""
    credentials = parse_credentials(
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
        ' uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b",'
        ' response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    assert credentials is not None
    ha1 = hashlib.md5(b"Mufasa:testrealm@host.com:Circle Of Life", usedforsecurity=False).hexdigest()
    assert verify(credentials, "GET", ha1, "")


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "MD5-sess"},
        {"algorithm": "SHA-256-sess"},
        {"algorithm": "SHA-512-256"},
        {"algorithm": "SHA-256"},
        {"qop": ""},
        {"qop": "auth-int"},
        {"nc": ""},
        {"nc": "1"},
        {"nc": "0000000g"},
        {"cnonce": ""},
        {"cnonce": "c" * 129},
        {"response": ""},
        {"response": "ÿ" * 32},
        {"uri": "/dir/\udcff"},
    ],
)
def test_another_form_of_answer_is_refused(change: dict[str, str]) -> None:
    """Session variants, the old form without qop, auth-int and broken parts do not verify and do not raise."""
    credentials = _rfc_7616("MD5", MD5_RESPONSE)._replace(**change)
    assert not verify(credentials, "GET", MUFASA_MD5, MUFASA_SHA256)


@pytest.mark.parametrize("ha1", ["", DUMMY_HA1])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_an_answer_made_with_the_dummy_is_refused(ha1: str, algorithm: str) -> None:
    """The dummy stands in a public source file: who answers with it is still nobody."""
    digest = hashlib.md5 if algorithm == "MD5" else hashlib.sha256
    credentials = _rfc_7616(algorithm, MD5_RESPONSE)
    ha2 = digest(f"GET:{credentials.uri}".encode()).hexdigest()
    for known in (DUMMY_HA1, DUMMY_HA1 * 2, ""):
        text = f"{known}:{credentials.nonce}:{credentials.nc}:{credentials.cnonce}:auth:{ha2}"
        answer = credentials._replace(response=digest(text.encode()).hexdigest())
        assert not verify(answer, "GET", ha1, ha1)


def test_a_nonce_lives_its_time() -> None:
    """Ours until it expires, stale afterwards; a clock that is as much behind does no harm."""
    nonce = make_nonce(SECRET, NOW_MS, "call-1", HERE)
    assert nonce_state(SECRET, nonce, NOW_MS, 300, HERE) == "ok"
    assert nonce_state(SECRET, nonce, NOW_MS + 300_000, 300, HERE) == "ok"
    assert nonce_state(SECRET, nonce, NOW_MS + 300_001, 300, HERE) == "stale"
    assert nonce_state(SECRET, nonce, NOW_MS - 300_001, 300, HERE) == "stale"


@pytest.mark.parametrize(
    ("asked", "answers", "state"),
    [
        ("203.0.113.9", "203.0.113.250", "ok"),
        ("203.0.113.9", "203.0.112.9", "stale"),
        ("2001:db8:1:2::9", "2001:db8:1:2:ffff::1", "ok"),
        ("2001:db8:1:2::9", "2001:db8:1:3::9", "stale"),
        ("203.0.113.9", "cb00:7109::", "stale"),
        ("", "", "ok"),
        ("", "203.0.113.9", "stale"),
    ],
)
def test_a_nonce_is_for_one_network(asked: str, answers: str, state: str) -> None:
    """Whoever answers with the address of somebody else has not got what was sent there; a NAT has many addresses."""
    nonce = make_nonce(SECRET, NOW_MS, "call-1", asked)
    assert nonce_state(SECRET, nonce, NOW_MS, 300, answers) == state


def test_a_nonce_is_short_unique_and_signed() -> None:
    """32 URL-safe characters; another salt, millisecond or network gives another; another secret does not know it."""
    nonce = make_nonce(SECRET, NOW_MS, "call-1", HERE)
    assert nonce != make_nonce(SECRET, NOW_MS, "call-1", "198.51.100.7")
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", nonce)
    assert len({nonce, make_nonce(SECRET, NOW_MS, "call-2", HERE), make_nonce(SECRET, NOW_MS + 1, "call-1", HERE)}) == 3
    assert nonce_state(b"another secret 16", nonce, NOW_MS, 300, HERE) == "foreign"


@pytest.mark.parametrize("nonce", ["", "x", "A" * 31, "A" * 32, "A" * 33, "ä" * 32, "A" * 30 + "==", "+" * 32])
def test_a_foreign_nonce_is_told(nonce: str) -> None:
    """What we did not sign is foreign, of whatever form."""
    assert nonce_state(SECRET, nonce, NOW_MS, 300, HERE) == "foreign"


def test_challenges() -> None:
    """MD5 first whatever the order asked for, stale only when so, unknown algorithms left out."""
    assert challenge_values("a.example", "N", False, ("SHA-256", "SHA-512", "MD5")) == (
        'Digest realm="a.example", nonce="N", algorithm=MD5, qop="auth"',
        'Digest realm="a.example", nonce="N", algorithm=SHA-256, qop="auth"',
    )
    assert challenge_values("a.example", "N", True, ("md5",)) == (
        'Digest realm="a.example", nonce="N", stale=true, algorithm=MD5, qop="auth"',
    )
    assert challenge_values("a.example", "N", False, ()) == ()


def test_a_realm_cannot_end_the_header() -> None:
    """Quotes are escaped, control characters dropped."""
    (value,) = challenge_values('a"\\\r\nX: y', "N", False, ("MD5",))
    assert value.startswith('Digest realm="a\\"\\\\X: y", nonce=')


def test_credentials_in_another_spelling() -> None:
    """Any order, any case of names, quoted or not, escapes, spaces, empty list elements, unknown parameters."""
    parsed = parse_credentials(
        ' DIGEST ,, RESPONSE = abc ,Uri="sip:a.example",qop="auth", NC=00000001 , cnonce=x,nonce="n,=\\"1\\\\",'
        'extra="y", algorithm="MD5", realm="", Realm2=r,username="al ice", opaque=""'.replace('realm="",', "realm=r,")
    )
    assert parsed == Credentials("al ice", "r", 'n,="1\\', "sip:a.example", "abc", "MD5", "auth", "00000001", "x")


def test_what_is_not_sent_is_empty() -> None:
    """Algorithm, qop, nc and cnonce are optional in a header; verify decides what it takes."""
    parsed = parse_credentials('Digest username="a", realm="r", nonce="n", uri="u", response="0"')
    assert parsed == Credentials("a", "r", "n", "u", "0", "", "", "", "")


WHOLE = 'Digest username="a", realm="r", nonce="n", uri="u", response="0"'


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Digest",
        "Digest ",
        "Basic YTpi",
        'Digestusername="a"',
        WHOLE + ', username="b"',
        WHOLE + ', REALM="r"',
        WHOLE + ', opaque="',
        WHOLE + ", opaque",
        WHOLE + ' x="y" z',
        WHOLE.replace('username="a", ', ""),
        WHOLE.replace('username="a", ', "username*=UTF-8''a, "),
        WHOLE.replace('username="a"', 'username=""'),
        WHOLE.replace('realm="r"', 'realm="r'),
        WHOLE + "".join(f", p{at}=x" for at in range(40)),
        WHOLE + ', opaque="' + "x" * HEADER_MAX + '"',
    ],
)
def test_a_broken_header_is_none(header: str) -> None:
    """Other schemes, missing or doubled parameters, open quotes, too many or too long."""
    assert parse_credentials(header) is None


@pytest.mark.parametrize(
    ("digest_uri", "ruri", "matches"),
    [
        ("sip:4420@a.example", SipUri("sip", "4420", "a.example"), True),
        ("sip:4420@A.EXAMPLE:5060;transport=udp", SipUri("sip", "4420", "a.example"), True),
        ("sip:%2B4420@a.example", SipUri("sip", "+4420", "a.example", 5060), True),
        ("sip:a.example", SipUri("sip", "", "a.example"), True),
        ("sip:a.example", SipUri("sip", "4420", "a.example"), False),
        ("sip:4421@a.example", SipUri("sip", "4420", "a.example"), False),
        ("sip:Alice@a.example", SipUri("sip", "alice", "a.example"), False),
        ("sip:4420@b.example", SipUri("sip", "4420", "a.example"), False),
        ("sip:4420@a.example:5061", SipUri("sip", "4420", "a.example"), False),
        ("tel:+4420", SipUri("tel", "+4420", ""), True),
        ("tel:+4420", SipUri("sip", "+4420", "a.example"), False),
        ("/dir/index.html", SipUri("sip", "4420", "a.example"), False),
        ("", SipUri("sip", "", "a.example"), False),
    ],
)
def test_uri_matches(digest_uri: str, ruri: SipUri, matches: bool) -> None:
    """An answer for one callee does not open the door to another; spelling and default port do not matter."""
    assert uri_matches(digest_uri, ruri) is matches


def _for(realm: str, response: str = "r") -> str:
    return f'Digest username="u", realm="{realm}", nonce="n", uri="sip:x", response="{response}"'


def test_among_several_proxies_ours_is_meant() -> None:
    """RFC 3261 §22.3: a request carries an answer for each proxy that asked. Two for one realm are as good as none."""
    other, ours, broken = _for("other.example"), _for("a.example", "mine"), "Basic dTpw"
    for headers in ((ours,), (other, ours), (ours, other), (broken, other, ours)):
        found = for_realm(headers, "a.example")
        assert found is not None
        assert found.response == "mine"
    assert for_realm((ours, other, _for("a.example", "guess")), "a.example") is None
    assert for_realm((other, _for("third.example")), "a.example") == parse_credentials(other), "for the trace"
    assert for_realm((), "a.example") is for_realm((broken,), "a.example") is None


PARTS = (
    *('username="a"', " realm=x", 'nonce=""', 'uri="sip:a, b"', 'qop="auth"', "qop=auth", "nc=00000001", "nc=", "x=1"),
    *(
        'Realm="r"',
        ' opaque="a\\\\"b"',
        "algorithm=SHA-256",
        'cnonce="',
        "cnonce = c",
        'stale="a"b',
        "",
        "uri",
        "\t",
        '="',
    ),
)


@given(st.lists(st.sampled_from(PARTS), max_size=6), st.sampled_from((",", ", ", " ,", "")))
def test_parameters_in_their_usual_form_are_read_like_all_others(parts: list[str], between: str) -> None:
    text = between.join(parts)

    assert _usual(text) in (None, _unusual(text))
