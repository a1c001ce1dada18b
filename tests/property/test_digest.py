"""Laws of digest authentication."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address

from hypothesis import assume, given
from hypothesis import strategies as st

from kemi.core.digest import challenge_values, make_nonce, nonce_state, parse_credentials, uri_matches, verify
from kemi.core.request import Credentials, SipUri
from tests.property import strategies
from tests.property.strategies import LAW

SIGNED = ("nonce", "uri", "response", "nc", "cnonce")


def _hash(algorithm: str, text: str) -> str:
    """Hash as the client does, written without the code under test."""
    if algorithm == "MD5":
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return hashlib.sha256(text.encode()).hexdigest()


def _answered(blank: Credentials, method: str, password: str) -> tuple[Credentials, str]:
    """Return the credentials with the client's response, and the HA1 that the server keeps."""
    ha1 = _hash(blank.algorithm, f"{blank.username}:{blank.realm}:{password}")
    ha2 = _hash(blank.algorithm, f"{method}:{blank.uri}")
    response = _hash(blank.algorithm, f"{ha1}:{blank.nonce}:{blank.nc}:{blank.cnonce}:{blank.qop}:{ha2}")
    return blank._replace(response=response), ha1


def _header(credentials: Credentials) -> str:
    quoted = {
        name: '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for name, value in credentials._asdict().items()
    }
    return "Digest " + ", ".join(f"{name}={value}" for name, value in quoted.items())


@LAW
@given(
    blank=strategies.answers,
    password=st.text("abcdef", min_size=1, max_size=8),
    field=st.sampled_from(SIGNED),
    other=st.text("abcdef0123456789", min_size=1, max_size=32),
)
def test_the_own_answer_verifies_and_a_changed_one_does_not(
    blank: Credentials, password: str, field: str, other: str
) -> None:
    """Through the header as sent; a change of any signed part, of the method or of the password is noticed."""
    answered, ha1 = _answered(blank, "INVITE", password)
    parsed = parse_credentials(_header(answered))
    assert parsed == answered
    assert verify(answered, "INVITE", ha1, ha1)
    assert not verify(answered, "REGISTER", ha1, ha1)
    assert not verify(answered, "INVITE", *[_answered(blank, "INVITE", password + "x")[1]] * 2)
    assume(getattr(answered, field) != other)
    assert not verify(answered._replace(**{field: other}), "INVITE", ha1, ha1)


@LAW
@given(secret=st.binary(min_size=16, max_size=32), made_ms=st.integers(0, 2**45), salt=st.text(), data=st.data())
def test_a_nonce_is_ours_until_a_character_changes(secret: bytes, made_ms: int, salt: str, data: st.DataObject) -> None:
    """Ok within its life and network, stale outside, foreign with any one character changed."""
    place, elsewhere = data.draw(
        st.tuples(st.ip_addresses(), st.ip_addresses()).map(lambda pair: tuple(map(str, pair)))
    )
    nonce = make_nonce(secret, made_ms, salt, place)
    age_ms = data.draw(st.integers(-400_000, 400_000))
    assert nonce_state(secret, nonce, made_ms + age_ms, 300, place) == ("ok" if abs(age_ms) <= 300_000 else "stale")
    if ip_address(elsewhere).packed[:3] != ip_address(place).packed[:3]:
        assert nonce_state(secret, nonce, made_ms + age_ms, 300, elsewhere) == "stale"
    at = data.draw(st.integers(0, len(nonce) - 1))
    forged = nonce[:at] + ("A" if nonce[at] != "A" else "B") + nonce[at + 1 :]
    assert nonce_state(secret, forged, made_ms, 300, place) == "foreign"


@LAW
@given(text=st.one_of(st.text(), st.text().map("Digest {}".format), st.text('digest= ",\\x', max_size=60)))
def test_garbage_never_raises(text: str) -> None:
    """Hostile headers, nonces, realms and uris end as None, "foreign" or False."""
    parsed = parse_credentials(text)
    assert parsed is None or all(isinstance(part, str) for part in parsed)
    assert nonce_state(b"secret", text, 0, 300, text) == "foreign"
    assert not verify(Credentials(*[text] * 9), text, text, text)
    assert uri_matches(text, SipUri("sip", "alice", "a.example")) in (True, False)
    (value,) = challenge_values(text, "N", False, ("MD5",))
    assert value.isprintable()


@LAW
@given(uri=strategies.sip_uris, other=strategies.sip_uris)
def test_a_uri_matches_itself_and_no_other_user_or_host(uri: SipUri, other: SipUri) -> None:
    """Equality is that of the parsed parts."""
    assert uri_matches(str(uri), uri)
    if (uri.user, uri.host) != (other.user, other.host):
        assert not uri_matches(str(uri), other)
