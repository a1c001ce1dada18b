"""Who stands behind an address: one total order, and sentences for those passed over."""

from __future__ import annotations

import pytest

from kemi.core.pattern import TEXT_MAX, TOO_MUCH, WAYS_MAX, compile_pattern
from kemi.core.sources import ENTRIES_MAX, TRACED_MAX, in_order, networks, same_address
from kemi.records import Masks, Source, SourceKind, Sources

MASKS = Masks(v4=(32, 24, 0), v6=(128, 64))
PEER, TRUSTED = SourceKind.PEER, SourceKind.TRUSTED
FROM = "sip:alice@a.example"


@pytest.mark.parametrize(
    ("ip", "names"),
    [
        ("203.0.113.7", ("src:203.0.113.7/32", "src:203.0.113.0/24", "src:0.0.0.0/0")),
        ("::ffff:203.0.113.7", ("src:203.0.113.7/32", "src:203.0.113.0/24", "src:0.0.0.0/0")),
        ("2001:DB8:0:0::7", ("src:2001:db8::7/128", "src:2001:db8::/64")),
        ("::1", ("src:::1/128", "src:::/64")),
        ("fe80::1%eth0", ("src:fe80::1/128", "src:fe80::/64")),
        ("", ()),
        ("a.example", ()),
        ("203.0.113.256", ()),
        ("203.0.113.07", ()),
    ],
)
def test_networks_of_an_address(ip: str, names: tuple[str, ...]) -> None:
    """Longest mask first, by value: another spelling of the address finds the same records."""
    assert networks(MASKS, ip) == names


def test_masks_come_in_any_order_and_may_be_wrong() -> None:
    """The order of the answer is ours; a length that the family lacks is skipped."""
    assert networks(Masks(v4=(8, 33, 32, 8, -1), v6=()), "10.1.2.3") == ("src:10.1.2.3/32", "src:10.0.0.0/8")
    assert networks(Masks(v4=(8,), v6=()), "::1") == ()


def test_the_order_is_mask_transport_from_pattern_kind_id() -> None:
    """Each criterion decides only where all before it tie."""
    best_first = [
        Source(9, TRUSTED, "203.0.113.7/32"),
        Source(8, TRUSTED, "203.0.113.0/24", "udp", "alice"),
        Source(7, TRUSTED, "203.0.113.0/24", "udp"),
        Source(6, PEER, "203.0.113.0/24", "", "alice"),
        Source(5, TRUSTED, "203.0.113.0/24", "", "alice"),
        Source(4, PEER, "203.0.113.0/24"),
        Source(2, TRUSTED, "203.0.113.0/24"),
        Source(3, TRUSTED, "203.0.113.0/24"),
        Source(1, PEER, "0.0.0.0/0", "udp", "alice"),
    ]
    groups = [Sources(tuple(reversed(best_first[:4]))), Sources(tuple(best_first[:3:-1]))]
    assert in_order(groups, "udp", FROM) == (tuple(best_first), ())


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            Source(4, TRUSTED, "203.0.113.0/24", "tls"),
            "trusted source 4 by 203.0.113.0/24 passed over: transport is udp, not tls",
        ),
        (
            Source(5, PEER, "203.0.113.0/24", "", "^sip:bob@"),
            "peer source 5 by 203.0.113.0/24 passed over: From does not match ^sip:bob@",
        ),
        (
            Source(6, TRUSTED, "203.0.113.0/24", "", "(a+)+"),
            "trusted source 6 by 203.0.113.0/24 passed over: From pattern refused (nested or too many quantifiers)",
        ),
    ],
)
def test_a_source_that_does_not_fit_is_passed_over_for_the_next(source: Source, sentence: str) -> None:
    """Never a refusal: the next source, finally digest, has its turn."""
    next_one = Source(1, TRUSTED, "0.0.0.0/0")
    assert in_order([Sources((source,)), Sources((next_one,))], "udp", FROM) == ((next_one,), (sentence,))


def test_a_long_from_matches_no_pattern() -> None:
    """Patterns see 128 characters; a longer From cannot hide behind a pattern that was not tried."""
    entries = Sources((Source(4, TRUSTED, "0.0.0.0/0", "", "alice"), Source(5, TRUSTED, "0.0.0.0/0")))
    fitting, passed_over = in_order([entries], "udp", FROM + "x" * 200)
    assert [source.id for source in fitting] == [5]
    assert passed_over == (
        "trusted source 4 by 0.0.0.0/0 passed over: From has 219 characters, patterns see at most 128",
    )
    assert [source.id for source in in_order([entries], "udp", FROM.ljust(TEXT_MAX, "x"))[0]] == [4, 5]


def test_what_is_too_much_of_a_network_is_passed_over() -> None:
    """Each network's patterns by themselves; sources without a pattern have their turn."""
    most = WAYS_MAX // compile_pattern(".*").ways
    heavy = [Source(n, TRUSTED, "0.0.0.0/0", "", ".*") for n in range(1, most + 2)]
    others = (Source(900, TRUSTED, "192.0.2.0/24", "", ".*"), Source(901, TRUSTED, "0.0.0.0/0"))
    fitting, passed_over = in_order([Sources((*heavy, *others))], "udp", FROM)
    assert [source.id for source in fitting] == [900, *range(1, most + 1), 901]
    assert passed_over == (
        f"trusted source {most + 1} by 0.0.0.0/0 passed over: From pattern refused ({TOO_MUCH.fault})",
    )


def test_the_work_and_the_trace_of_one_call_are_bounded() -> None:
    """However many sources share an address."""
    crowd = Sources(tuple(Source(at, TRUSTED, "0.0.0.0/0", "tls") for at in range(ENTRIES_MAX + 7)))
    fitting, passed_over = in_order([crowd], "udp", FROM)
    assert fitting == ()
    assert len(passed_over) == TRACED_MAX + 1
    assert passed_over[-1] == f"{ENTRIES_MAX + 7 - TRACED_MAX} more sources passed over"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "::ffff:203.0.113.7", True),
        ("2001:DB8:0:0::4", "2001:db8::4", True),
        ("[2001:db8::4]", "2001:db8::4", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("203.0.113.7", "203.0.113.70", False),
        ("", "", False),
        ("acme.example", "acme.example", False),
    ],
)
def test_addresses_are_compared_as_addresses(one: str, other: str, same: bool) -> None:
    """However they are written; text that is none is nobody's."""
    assert same_address(one, other) is same
    assert same_address(other, one) is same
