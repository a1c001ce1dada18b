"""Whatever stands in a Contact, reading it gives addresses or None, and never another host than it shows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kemi.core.contacts import parse_contacts

pieces = st.sampled_from(
    (
        "<",
        ">",
        '"',
        "\\",
        ",",
        ";",
        "=",
        "*",
        " ",
        "\t",
        "\r\n ",
        "@",
        ":",
        "?",
        "sip:",
        "tel:",
        "a",
        "192.0.2.1",
        "maddr=",
    )
)
texts = st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=20).map("".join)


@given(values=st.lists(texts, max_size=4))
def test_reading_never_raises(values: list[str]) -> None:
    """And what it reads stands there, character by character."""
    found = parse_contacts(values)
    assert found is None or all(each.uri.host in "".join(values).lower() for each in found)


@given(text=texts)
def test_a_carrier_in_front_is_never_overlooked(text: str) -> None:
    """Whatever follows, a contact that stands first in a header that can be read at all is among those found."""
    found = parse_contacts([f"<sip:trap@203.0.113.7>{text}"])
    assert found is None or found[0].uri.host == "203.0.113.7"


@given(text=texts)
def test_a_carrier_behind_is_never_overlooked(text: str) -> None:
    """The same for the last one: if it is not inside a quoted parameter, it is found or nothing is."""
    found = parse_contacts([f"{text},<sip:trap@203.0.113.7>"])
    assert found is None or found[-1].uri.host == "203.0.113.7"
