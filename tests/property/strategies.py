"""What the laws of the core are tried on."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from kemi.core.request import Credentials, SipUri
from kemi.records import Rate, RewriteRule, Source, SourceKind

LAW = settings(max_examples=100, deadline=None)
"""Every law of the leaves runs with this: enough to find the edges, short enough for every commit."""

DIGITS = "0123456789"
HEX = "0123456789abcdef"
TRANSPORTS = ("udp", "tcp", "tls")

digits = st.text(DIGITS, max_size=18)
prefixes = st.text(DIGITS, min_size=1, max_size=15)
dense_prefixes = st.text("01", min_size=1, max_size=8)
"""Of few digits, so that many of them begin alike."""

rate_maps = st.dictionaries(st.one_of(prefixes, dense_prefixes), st.integers(0, 65_535), max_size=60)

rates = st.builds(
    Rate,
    per_min_micros=st.one_of(st.just(0), st.integers(1, 70), st.integers(1, 10_000_000)),
    first_s=st.one_of(st.just(1), st.integers(1, 3600)),
    next_s=st.one_of(st.just(1), st.just(60), st.integers(1, 3600)),
    connect_micros=st.one_of(st.just(0), st.integers(0, 5_000_000)),
)
funds = st.lists(st.lists(rates, min_size=1, max_size=3), min_size=1, max_size=4)
"""Per fund the rates that it pays."""

numbers = st.one_of(digits, st.text("+0123456789-.()", max_size=20), st.text(max_size=80))
regexes = st.one_of(
    st.sampled_from(("^00", "^0", r"^\+", "^(00|\\+)([1-9].*)$", "(.)(.)$", "", "^1*", "(a+)+", "(", "(?=0)")),
    st.text("0123.*+?()[]|^$\\{}d,", max_size=16),
    st.text(max_size=12),
)
rewrite_rules = st.lists(
    st.builds(
        RewriteRule,
        id=st.integers(1, 99),
        priority=st.integers(1, 9),
        pattern=regexes,
        replacement=st.one_of(st.sampled_from(("", "+", "\\1", "+\\2", "\\9", "00\\1")), st.text(max_size=8)),
    ),
    max_size=5,
).map(tuple)

hosts = st.one_of(
    st.from_regex(r"[a-z][a-z0-9-]{0,9}(\.[a-z][a-z0-9-]{0,9}){0,2}", fullmatch=True),
    st.ip_addresses().map(str),
)
users = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
sip_uris = st.builds(
    SipUri,
    scheme=st.sampled_from(("sip", "sips")),
    user=st.text("abcXYZ0189-_.!~*'()&=+$,?/", max_size=20),
    host=hosts,
    port=st.one_of(st.just(0), st.integers(1, 65_535)),
)

_token = st.text("abcdefXYZ0123456789/+=", min_size=1, max_size=24)
answers = st.builds(
    Credentials,
    username=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x17F), min_size=1, max_size=20),
    realm=_token,
    nonce=_token,
    uri=sip_uris.map(str),
    response=st.just(""),
    algorithm=st.sampled_from(("MD5", "SHA-256")),
    qop=st.just("auth"),
    nc=st.text(HEX, min_size=8, max_size=8),
    cnonce=_token,
)
"""Credentials with no response yet."""

sources = st.builds(
    Source,
    id=st.integers(1, 999),
    kind=st.sampled_from(SourceKind),
    network=st.one_of(st.integers(0, 32).map(lambda length: f"0.0.0.0/{length}"), st.text(max_size=8)),
    transport=st.sampled_from(("", *TRANSPORTS)),
    from_pattern=st.sampled_from(("", "^sip:a", "@b", "(", "(a+)+")),
)
