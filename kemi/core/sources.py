"""Who stands behind an address: peers and trusted sources in one total order.

Rule 1: addresses are compared as addresses, never as text; an IPv4 address mapped into IPv6 is that IPv4 address.
Rule 2: the order is longest mask, explicit transport, From pattern, peer before trusted source, lowest id.
Rule 3: a source whose transport or From pattern does not fit is passed over with a sentence; it refuses nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from kemi import keys
from kemi.core.pattern import COMPILED_MAX, TEXT_MAX, TOO_MUCH, WAYS_MAX, compile_pattern
from kemi.records import Masks, Source, SourceKind, Sources

ANY_MASKS: Final = Masks(tuple(range(33)), (0, *range(16, 65), 128))
"""Every prefix length that anybody is likely to use."""

ENTRIES_MAX = 1024  # sources looked at per call: a shared SBC stands for many subscribers, told apart by From
TRACED_MAX = 16  # of those passed over, how many get a sentence each


@lru_cache(maxsize=COMPILED_MAX)
def networks(masks: Masks, ip: str) -> tuple[str, ...]:
    """Return the short key names (`src:203.0.113.0/24`) that may describe address `ip`, longest mask first.

    masks: prefix lengths that occur; a length that the family does not have is skipped. ip: text of the address;
    () when it is none.
    """
    address = _address(ip)
    if address is None:
        return ()
    lengths = masks.v4 if address.version == 4 else masks.v6  # noqa: PLR2004  # the IP version, not a magic number
    bits, value = address.max_prefixlen, int(address)
    fitting = sorted({length for length in lengths if 0 <= length <= bits}, reverse=True)
    beginnings = ((length, value >> (bits - length) << (bits - length)) for length in fitting)
    return tuple(keys.sources(f"{type(address)(beginning)}/{length}") for length, beginning in beginnings)


def same_address(one: str, other: str) -> bool:
    """Whether two texts are the same address, however each is written; text that is no address is nobody's."""
    address = _address(one)
    return address is not None and address == _address(other)


def is_within(ip: str, network: str) -> bool:
    """Whether an address is one of a network's; never where either text is none."""
    address, range_ = _address(ip), _network(network)
    return address is not None and range_ is not None and address in range_


def in_order(groups: Iterable[Sources], transport: str, from_uri: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Return the sources that fit the call, best first, and a sentence for each one passed over.

    groups: the records of `networks`, so each entry contains the address. transport: of the request, "udp" ….
    from_uri: the From URI as text, in which From patterns are searched.
    """
    fitting: list[Source] = []
    passed_over: list[str] = []
    ways: dict[str, int] = {}  # of each network's patterns: one call may have to try them all
    entries = sorted((entry for group in groups for entry in group.entries), key=_rank)
    for source in entries[:ENTRIES_MAX]:
        if source.from_pattern:
            ways[source.network] = ways.get(source.network, 0) + compile_pattern(source.from_pattern).ways
        is_too_much = ways.get(source.network, 0) > WAYS_MAX and source.from_pattern
        fault = f"From pattern refused ({TOO_MUCH.fault})" if is_too_much else _fault(source, transport, from_uri)
        if fault:
            passed_over.append(f"{label(source)} passed over: {fault}")
        else:
            fitting.append(source)
    unnamed = len(passed_over[TRACED_MAX:]) + len(entries[ENTRIES_MAX:])
    more = (f"{unnamed} more sources passed over",) if unnamed else ()
    return tuple(fitting), (*passed_over[:TRACED_MAX], *more)


def label(source: Source) -> str:
    """Return how a trace names `source`: `trusted source 4 by 203.0.113.0/24`."""
    kind = "peer source" if source.kind == SourceKind.PEER else "trusted source"
    return f"{kind} {source.id} by {source.network}"


@lru_cache(maxsize=COMPILED_MAX)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        address = ip_address(bare.partition("%")[0])  # an IPv6 zone says where, not who
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=COMPILED_MAX)
def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _rank(source: Source) -> tuple[int, bool, bool, int, int]:
    return (-_mask_length(source.network), source.transport == "", source.from_pattern == "", source.kind, source.id)


@lru_cache(maxsize=COMPILED_MAX)
def _mask_length(network: str) -> int:
    """Return the prefix length of `network`; −1, the last place, for text that is no network."""
    try:
        return ip_network(network, strict=False).prefixlen
    except ValueError:
        return -1


def _fault(source: Source, transport: str, from_uri: str) -> str:
    """Return why `source` does not fit, "" when it does."""
    if source.transport and source.transport.lower() != transport.lower():
        return f"transport is {transport}, not {source.transport}"
    if not source.from_pattern:
        return ""
    pattern = compile_pattern(source.from_pattern)
    if pattern.regex is None:
        return f"From pattern refused ({pattern.fault})"
    if len(from_uri) > TEXT_MAX:
        return f"From has {len(from_uri)} characters, patterns see at most {TEXT_MAX}"
    if pattern.search(from_uri) is None:
        return f"From does not match {source.from_pattern}"
    return ""
