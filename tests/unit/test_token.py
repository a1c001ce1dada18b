"""The token of the Record-Route: ours is known again, anything else is not."""

from __future__ import annotations

import pytest

from kemi.core.causes import CAUSES, cause_of
from kemi.core.health import counts_against
from kemi.core.token import Origin, Token, sign, token_of

SECRET, RID = b"0123456789abcdef", "0f" * 16
ORIGIN = Origin("n1", 1_770_000_000_000, ("192.0.2.1", "192.0.2.2", "192.0.2.1"))
TOKEN = sign(SECRET, RID, "call", "tag", ORIGIN)


def read(token: str, call_id: str = "call", from_tag: str = "tag", to_tag: str = "to") -> Token | None:
    return token_of(SECRET, f"<sip:192.0.2.9;lr=on;did=1.2;tdm={token}>, <sip:b;lr>", call_id, from_tag, to_tag)


def test_a_token_of_ours_names_its_call_its_origin_and_its_hosts() -> None:
    token = read(TOKEN)

    assert token is not None
    assert (token.rid, token.issued_ms, token.is_callers) == (RID, 1_770_000_000_000, True)
    assert (token.is_of("n1"), token.is_of("n2")) == (True, False)
    assert [token.leads_to(SECRET, host) for host in (*ORIGIN.hosts, "192.0.2.3")] == [True, True, True, False]


def test_a_token_tells_nobody_the_hosts() -> None:
    assert "192.0.2" not in TOKEN


def test_the_side_whose_tag_it_is_speaks() -> None:
    token = read(TOKEN, from_tag="to", to_tag="tag")

    assert token is not None
    assert not token.is_callers


@pytest.mark.parametrize("of", [("other", "tag", "to"), ("call", "other", "to"), ("call", "", ""), ("", "tag", "to")])
def test_a_token_counts_for_its_own_call_id_and_tag_only(of: tuple[str, str, str]) -> None:
    assert read(TOKEN, *of) is None


@pytest.mark.parametrize("at", range(len(TOKEN)))
def test_a_token_with_one_character_changed_names_nothing(at: int) -> None:
    other = "1" if TOKEN[at] == "0" else "0"

    assert read(f"{TOKEN[:at]}{other}{TOKEN[at + 1 :]}") is None


@pytest.mark.parametrize("route", ["", "<sip:a;lr>", f";tdm={RID}", f";tdm={RID}.", f";tdm={RID}.zz", ";tdm=" * 9999])
def test_what_is_no_token_names_nothing(route: str) -> None:
    assert token_of(SECRET, route, "call", "tag", "to") is None


def test_another_secret_makes_another_token() -> None:
    assert read(sign(b"another secret, too", RID, "call", "tag", ORIGIN)) is None


def test_every_final_failure_has_a_cause() -> None:
    for status in range(400, 700):
        assert cause_of(status).reason
        assert 1 <= cause_of(status).q850 <= 127
    assert cause_of(486) is CAUSES[486]


@pytest.mark.parametrize("why", ["channels", "cps", "ring", "redirect"])
def test_what_a_server_was_not_asked_does_not_speak_against_it(why: str) -> None:
    assert not counts_against(503, why)
    assert not counts_against(408, why)
    assert counts_against(503, "unreachable")
    assert counts_against(408, "pdd")


@pytest.mark.parametrize(("status", "counts"), [(408, True), (503, True), (500, True), (486, False), (603, False)])
def test_only_the_servers_own_trouble_speaks_against_it(status: int, *, counts: bool) -> None:
    assert counts_against(status) is counts
