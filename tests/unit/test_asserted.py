"""Identity headers as others write them."""

from __future__ import annotations

import pytest

from kemi.core.asserted import HEADER_MAX, REASONS, VALUES_MAX, Party, asserted_uri, parties
from tests.fakes.world import uri


@pytest.mark.parametrize(
    ("value", "user"),
    [
        ("sip:a@x", "a"),
        (" <sip:a@x>;party=calling", "a"),
        ("Alice <sip:a@x>", "a"),
        ("< sip:a@x >", "a"),
        ('"<sip:evil@x>" <sip:a@x>', "a"),
        ('"\\"<sip:evil@x>" <sip:a@x>', "a"),
        ('"One, Two" <sip:a@x>, <sip:b@x>', "a"),
        ('"\\"One\\", <sip:evil@x>" <sip:a@x>, <sip:b@x>', "a"),
        ("<sip:a@x>, <sip:b@x>", "a"),
        ("nonsense, <sip:b@x>", "b"),
        ("<tel:+4420>", "+4420"),
        ("", None),
        ("<>", None),
        (",,,", None),
        ('"open <sip:a@x>', "a"),
        ('"Alice" sip:a@x', "a"),
        ("<sip:a@x>;x=<sip:evil@x>", "a"),
        ('<sip:a@x>;x=">"', "a"),
        ("<sip:a@x", None),
        ("<sip:a@x>" + " " * HEADER_MAX, None),
    ],
)
def test_the_first_address_counts(value: str, user: str | None) -> None:
    """A display name never does, and an overlong header is none."""
    found = asserted_uri(value)
    assert (found.user if found else None) == user


def test_a_header_is_a_list() -> None:
    """RFC 3325: a SIP and a tel URI of one person. A comma inside brackets or quotes separates nothing."""
    value = '"A, B" <sip:a,1@x>;privacy=off, <tel:+4420>;reason=user-busy'
    assert [party.uri.user for party in parties(value)] == ["a,1", "+4420"]
    assert [party.uri.user for party in parties("sip:a@x, sip:b@x")] == ["a", "b"]
    assert [party.uri.user for party in parties("<sip:X,1@x>, sip:b@x")] == ["X,1", "b"]


@pytest.mark.parametrize(
    "name", ['\\", <sip:evil@x>, \\"', "\\\\", "a\\\\", '\\\\\\"', "<", ">", "<sip:evil@x>, ", "sip:evil@x, "]
)
def test_a_quoted_name_is_no_address(name: str) -> None:
    """Whatever is escaped in it."""
    assert [party.uri.user for party in parties(f'"{name}" <sip:a@x>, "{name}" <sip:b@x>')] == ["a", "b"]


def test_what_is_read_is_bounded() -> None:
    """Eight addresses, fewer than 1 024 characters: of more, the reader may have cut the last one."""
    assert (HEADER_MAX, VALUES_MAX) == (1_024, 8)
    assert len(parties(", ".join(["<sip:a@x>"] * (VALUES_MAX + 3)))) == VALUES_MAX
    assert parties("<sip:a@x>".ljust(HEADER_MAX - 1))
    assert not parties("<sip:a@x>".ljust(HEADER_MAX))


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_the_reasons_of_the_rfc_are_kept(reason: str) -> None:
    """RFC 5806 §4.1 lists eleven."""
    assert len(REASONS) == 11
    assert parties(f"<sip:a@x>;reason={reason.upper()}")[0].reason == reason


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("", Party(uri("a@x"))),
        (";privacy=full", Party(uri("a@x"), is_hidden=True)),
        ("; Privacy = URI-network", Party(uri("a@x"), is_hidden=True)),
        (";privacy=off;screen=yes", Party(uri("a@x"))),
        (";privacy=name", Party(uri("a@x"))),
        (";party=called;privacy=full", Party(uri("a@x"), is_hidden=True, role="called")),
        (";party=Calling", Party(uri("a@x"), role="calling")),
        (";reason=user-busy;counter=2", Party(uri("a@x"), reason="user-busy", counter=2)),
        (';reason="no-answer";limit=3', Party(uri("a@x"), reason="no-answer")),
        (";reason=whatever;counter=0", Party(uri("a@x"))),
        (";counter=100", Party(uri("a@x"))),
        (";xreason=away;reasons=away", Party(uri("a@x"))),
    ],
)
def test_parameters_stand_behind_the_address(parameters: str, said: Party) -> None:
    """Those that mean something here, in any case; an unknown reason is "unknown", an odd counter none."""
    assert parties(f"<sip:a@x>{parameters}") == (said,)
    assert parties(f'"A" <sip:a@x>{parameters}') == (said,)


def test_parameters_of_the_uri_are_not_the_headers() -> None:
    """`<sip:a@x;privacy=full>` hides nothing, and neither does a display name that says so."""
    assert parties('";privacy=full" <sip:a@x;privacy=full>') == (Party(uri("a@x")),)
