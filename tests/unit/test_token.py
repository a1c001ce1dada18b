"""The token of the Record-Route: ours is known again, anything else is not."""

from __future__ import annotations

import pytest

from kemi.core.causes import CAUSES, cause_of
from kemi.core.health import counts_against
from kemi.core.token import rid_of, sign

SECRET, RID = b"0123456789abcdef", "0f" * 16


def test_a_token_of_ours_names_its_call() -> None:
    token = sign(SECRET, RID)

    assert rid_of(SECRET, f"<sip:192.0.2.1;lr=on;ftag=x;did=1.2;tdm={token}>") == RID
    assert rid_of(SECRET, f"<sip:a;lr;tdm={token}>, <sip:b;lr>") == RID


@pytest.mark.parametrize("at", range(len(RID) + 17))
def test_a_token_with_one_character_changed_names_nothing(at: int) -> None:
    token = sign(SECRET, RID)
    other = "1" if token[at] == "0" else "0"

    assert rid_of(SECRET, f";tdm={token[:at]}{other}{token[at + 1 :]}") == ""


@pytest.mark.parametrize("route", ["", "<sip:a;lr>", f";tdm={RID}", f";tdm={RID}.", f";tdm={RID}.zz", ";tdm=" * 9999])
def test_what_is_no_token_names_nothing(route: str) -> None:
    assert rid_of(SECRET, route) == ""


def test_another_secret_makes_another_token() -> None:
    assert rid_of(b"another secret, too", f";tdm={sign(SECRET, RID)}") == ""


def test_every_final_failure_has_a_cause() -> None:
    for status in range(400, 700):
        assert cause_of(status).reason
        assert 1 <= cause_of(status).q850 <= 127
    assert cause_of(486) is CAUSES[486]


@pytest.mark.parametrize(("status", "counts"), [(408, True), (503, True), (500, True), (486, False), (603, False)])
def test_only_the_servers_own_trouble_speaks_against_it(status: int, *, counts: bool) -> None:
    assert counts_against(status) is counts
