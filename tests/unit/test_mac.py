"""The cell's signature is HMAC-SHA256, as other programs make it."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from kemi.core.mac import mac


@given(st.binary(max_size=200), st.lists(st.binary(max_size=300), max_size=4))
def test_every_message_is_signed_as_the_standard_says_however_many_were_before(
    secret: bytes, messages: list[bytes]
) -> None:
    for message in messages:
        assert mac(secret, message) == hmac.digest(secret, message, "sha256")


def test_a_case_of_the_rfc() -> None:
    """RFC 4231 §4.3."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert mac(b"Jefe", b"what do ya want for nothing?").hex() == expected
