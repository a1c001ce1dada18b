"""SIP and tel URIs: what is read, what is dropped, what is refused."""

from __future__ import annotations

import pytest

from kemi.core.request import SipUri
from kemi.core.uri import URI_MAX, default_port, parse_uri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:alice@a.example", SipUri("sip", "alice", "a.example")),
        ("SIP:Alice@A.Example.:5070", SipUri("sip", "Alice", "a.example", 5070)),
        ("sips:a.example", SipUri("sips", "", "a.example")),
        ("sip:a.example;transport=tcp", SipUri("sip", "", "a.example")),
        ("sip:4420;phone-context=+44:secret@a.example;user=phone?Subject=x", SipUri("sip", "4420", "a.example")),
        ("sip:alice:secret@a.example", SipUri("sip", "alice", "a.example")),
        ("sip:a?b/c@a.example", SipUri("sip", "a?b/c", "a.example")),
        ("sip:%2B4420@a.example", SipUri("sip", "+4420", "a.example")),
        ("sip:%61lice@a.example", SipUri("sip", "alice", "a.example")),
        ("sip:a%40b%3bc%25@a.example", SipUri("sip", "a%40b%3Bc%25", "a.example")),
        ("sip:null-%00-null@a.example", SipUri("sip", "null-%00-null", "a.example")),
        ("sip:x%0d%0aVia:%20y@a.example", SipUri("sip", "x%0D%0AVia", "a.example")),
        ("sip:*21#@a.example", SipUri("sip", "*21%23", "a.example")),
        ("sip:{cell}@a.example", SipUri("sip", "%7Bcell%7D", "a.example")),
        ("sip:bob@192.0.2.7", SipUri("sip", "bob", "192.0.2.7")),
        ("sip:bob@[2001:DB8:0::9:1]:5080;lr", SipUri("sip", "bob", "2001:db8::9:1", 5080)),
        ("sip:bob@my_host", SipUri("sip", "bob", "my_host")),
        ("tel:+44-20(7946)", SipUri("tel", "+44-20(7946)", "")),
        ("tel:7946;phone-context=+4420", SipUri("tel", "7946", "")),
    ],
)
def test_parsed(text: str, uri: SipUri) -> None:
    """Scheme and host in lower case, the user in its one spelling, parameters, password and headers gone."""
    assert parse_uri(text) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        "sip:",
        "sip:@a.example",
        "sip::secret@a.example",
        "sip:alice@",
        "sip:alice@a.example:",
        "sip:alice@a.example:0",
        "sip:alice@a.example:65536",
        "sip:alice@a.example:5o60",
        "sip:alice@evil.example@a.example",
        "sip:alice@a.example;x=@b.example",
        "sip:ali ce@a.example",
        "sip:al\r\nice@a.example",
        "sip:al%2@a.example",
        "sip:al%zz@a.example",
        "sip:älice@a.example",
        "sip:al\udce9ce@a.example",
        "sip:alice@a..example/x",
        "sip:alice@[::1",
        "sip:alice@[::zz]",
        "sip:alice@[1.2.3.4]",
        "sip:alice@-a.example",
        "sip:<alice>@a.example",
        "tel:",
        "tel:;phone-context=x",
        "mailto:alice@a.example",
        "http://a.example",
        "sip:" + "1" * URI_MAX + "@a.example",
    ],
)
def test_refused(text: str) -> None:
    """What is no URI, or can be read in two ways, is none."""
    assert parse_uri(text) is None


@pytest.mark.parametrize(
    ("text", "port"), [("sip:a@b", 5060), ("sips:a@b", 5061), ("sip:a@b:5070", 5070), ("tel:112", 0)]
)
def test_default_port(text: str, port: int) -> None:
    """An absent port means the scheme's own."""
    uri = parse_uri(text)
    assert uri is not None
    assert default_port(uri) == port
