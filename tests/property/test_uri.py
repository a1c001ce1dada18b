"""Laws of URIs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kemi.core.request import SipUri
from kemi.core.uri import parse_uri
from tests.property import strategies
from tests.property.strategies import LAW


@LAW
@given(uri=strategies.sip_uris)
def test_a_written_uri_reads_back(uri: SipUri) -> None:
    """parse(str(u)) == u."""
    assert parse_uri(str(uri)) == uri


@LAW
@given(text=st.one_of(st.text(max_size=80), st.text(max_size=60).map("sip:{}".format), st.text().map("tel:{}".format)))
def test_garbage_never_raises_and_what_is_read_is_harmless(text: str) -> None:
    """No control character, no second spelling, no brace that forges a Redis hash tag comes out."""
    uri = parse_uri(text)
    if uri is not None:
        assert str(uri).isascii()
        assert str(uri).isprintable()
        assert not set(uri.user) & set(' <>"{}@;:#\\')
        assert parse_uri(str(uri)) == uri


@LAW
@given(user=strategies.users, host=strategies.hosts)
def test_two_spellings_of_a_user_are_one(user: str, host: str) -> None:
    """A user with every character escaped, in either case, is the user as we write it."""
    at = f"[{host}]" if ":" in host else host
    escaped = parse_uri("sip:" + "".join(f"%{ord(character):02x}" for character in user) + f"@{at}")
    assert escaped is not None
    assert parse_uri(f"sip:{escaped.user}@{at}") == escaped
    assert parse_uri("sip:" + "".join(f"%{ord(character):02X}" for character in user) + f"@{at}") == escaped
