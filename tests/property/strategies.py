"""What the laws of the core are tried on."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from kemi.core.request import Credentials, SipUri
from kemi.records import Band, PinnedLeg, Rate, RewriteRule, Source, SourceKind

LAW = settings(max_examples=100, deadline=None)
"""Every law of the leaves runs with this: enough to find the edges, short enough for every commit."""

START_MS = 1_700_000_000_000
"""When the calls of these laws begin."""

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
    min_micros=st.one_of(st.just(0), st.just(0), st.integers(0, 3_000_000)),
)


@st.composite
def bands(draw: st.DrawFn) -> tuple[Band, ...]:
    """Draw the prices of a call near START_MS: none of their own, or 2 … 5 in turn, the last for ever."""
    edges = draw(st.lists(st.integers(START_MS - 60_000, START_MS + 300_000), max_size=4, unique=True))
    if not edges:
        return ()
    prices = st.tuples(st.one_of(st.just(0), st.integers(0, 2_000_000)), st.integers(0, 500_000))
    return tuple(Band(until_ms, *draw(prices)) for until_ms in (*sorted(edges), 0))


legs = st.builds(
    PinnedLeg,
    level=st.just(1),
    payer_id=st.just(5),
    payee_id=st.just(2),
    currency=st.just("EUR"),
    fund=st.sampled_from(("5:EUR", "3:EUR", "2:EUR", "")),
    tariff_id=st.just(1),
    rate_set_id=st.just(1),
    prefix=st.just("44"),
    rate=rates,
    bands=bands(),
    rounding=st.sampled_from(("up", "up", "down", "half_up", "half_even", "sideways")),
    round_to_micros=st.one_of(st.just(1), st.sampled_from((2, 100, 10_000, 1_000_000)), st.integers(1, 1_000_000)),
    exchange_nanos=st.one_of(st.just(0), st.sampled_from((1, 920_000_001, 10**12)), st.integers(1, 10**11)),
)
plain_legs = st.builds(lambda leg: leg._replace(bands=(), rounding="up", round_to_micros=1, exchange_nanos=0), legs)
funds = st.lists(st.lists(legs, min_size=1, max_size=3), min_size=1, max_size=4)
"""Per fund the legs that it pays."""

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
