"""Laws of the order of sources."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from kemi.core.sources import in_order, networks
from kemi.records import Masks, Source, Sources
from tests.property import strategies
from tests.property.strategies import LAW

MASKS = st.builds(
    Masks,
    v4=st.lists(st.integers(-2, 40), max_size=8).map(tuple),
    v6=st.lists(st.integers(-2, 140), max_size=8).map(tuple),
)


@LAW
@given(masks=MASKS, address=st.ip_addresses())
def test_each_name_is_a_network_around_the_address(masks: Masks, address: IPv4Address | IPv6Address) -> None:
    """One per fitting length that occurs, longest first."""
    mapped = getattr(address, "ipv4_mapped", None) or address
    found = [ip_network(name.removeprefix("src:")) for name in networks(masks, str(address))]
    occurring = masks.v4 if mapped.version == 4 else masks.v6
    assert all(ip_address(str(mapped)) in network for network in found)
    assert [network.prefixlen for network in found] == sorted(
        {length for length in occurring if 0 <= length <= mapped.max_prefixlen}, reverse=True
    )


@LAW
@given(masks=MASKS, address=st.ip_addresses(v=4))
def test_a_mapped_address_is_the_ipv4_address(masks: Masks, address: IPv4Address) -> None:
    """A dual-stack socket shows IPv4 callers as ::ffff:a.b.c.d; they are the same callers."""
    assert networks(masks, f"::ffff:{address}") == networks(masks, str(address))


@LAW
@given(masks=MASKS, text=st.text(max_size=40))
def test_garbage_has_no_networks_and_raises_nothing(masks: Masks, text: str) -> None:
    """Text that is no address finds nobody."""
    assert all(name.startswith("src:") for name in networks(masks, text))


@LAW
@given(entries=st.lists(strategies.sources, max_size=12), data=st.data(), from_uri=st.text(max_size=20))
def test_the_order_is_total(entries: list[Source], data: st.DataObject, from_uri: str) -> None:
    """Neither the grouping nor the order of the records in Redis decides who the caller is."""
    transport = data.draw(st.sampled_from(strategies.TRANSPORTS))
    one_way = in_order([Sources(tuple(entries))], transport, from_uri)
    shuffled = data.draw(st.permutations(entries))
    other_way = in_order([Sources((entry,)) for entry in shuffled], transport, from_uri)
    assert [_criteria(source) for source in one_way[0]] == [_criteria(source) for source in other_way[0]]
    assert len(one_way[0]) + len(one_way[1]) == len(entries)


def _criteria(source: Source) -> tuple[int, int, bool, bool]:
    """Return what the order looks at."""
    return source.id, source.kind, source.transport == "", source.from_pattern == ""
