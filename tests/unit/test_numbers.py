"""Numbers as dialled, as E.164, and in a peer's dialect."""

from __future__ import annotations

import pytest

from kemi.core.numbers import routing_number
from kemi.core.request import E164
from kemi.records import PortedNumber, RewriteRule, RewriteSet
from tests.fakes.world import ACME_1, ACME_2, ALICE, World, from_peer, invite

INTERNATIONAL = RewriteSet(7, "as written", callee_in=(RewriteRule(71, 1, "^9", ""),))


@pytest.mark.parametrize("dialled", ["0033140000000", "+33140000000", "33140000000", "+33-1.40(00)00-00"])
def test_what_is_dialled_becomes_e164(dialled: str) -> None:
    """The domain's rules apply to a line without rules of its own."""
    assert World().route(invite(callee=dialled)).call.callee == "33140000000"


def test_a_rule_that_applied_is_named() -> None:
    """A trace shows which rule made which number of which."""
    assert "rule 12: 0033140000000 → +33140000000" in World().route(invite(callee="0033140000000")).trace


def test_the_lines_own_rules_replace_its_domains() -> None:
    """Sets are never mixed."""
    world = World()
    world.put("rws:7", INTERNATIONAL)
    world.change(f"sub:{ALICE}", rewrite_set_id=7)
    assert world.route(invite(callee="933140000000")).call.callee == "33140000000"
    assert world.refusal(invite(callee="0033140000000")).reason == "bad_number"


def test_a_set_that_does_not_exist_changes_nothing() -> None:
    """Numbers are taken as they are, and the trace says why."""
    world = World()
    del world.records["rws:1"]
    assert "rewrite set 1 does not exist: numbers are taken as they are" in world.route(invite()).trace
    assert world.refusal(invite(callee="0033140000000")).reason == "bad_number"


@pytest.mark.parametrize("dialled", ["", "0nobody", "00", "000000000", "+", "1" * 65, "33140000000%3Bx"])
def test_what_is_no_number_is_refused(dialled: str) -> None:
    """484 says that the number, not the caller, is at fault; nothing of it is routed."""
    refusal = World().refusal(invite(callee=dialled))
    assert (refusal.reason, refusal.status) == ("bad_number", 484)
    assert World().refusal(from_peer(dialled)).reason == "bad_number"


def test_a_peer_speaks_its_servers_dialect_else_its_groups() -> None:
    """Inbound rules of the server replace those of the group."""
    world = World()
    world.put("rws:7", INTERNATIONAL)
    world.change("pg:3", rewrite_set_id=7)
    assert world.route(from_peer("9442070000001")).call.callee == "442070000001"
    world.put("rws:8", RewriteSet(8, "", callee_in=(RewriteRule(81, 1, "^8", ""),)))
    world.change_server(ACME_1, rewrite_set_id=8)
    assert world.route(from_peer("8442070000001")).call.callee == "442070000001"
    assert world.refusal(from_peer("9442070000001")).reason == "not_found"


def test_outbound_rules_always_start_from_the_original() -> None:
    """The second server of a hunt gets what the first got, not that rewritten again."""
    world = World()
    world.put("rws:8", RewriteSet(8, "", callee_out=(RewriteRule(81, 1, "^33", "0"),)))
    world.change_server(ACME_2, rewrite_set_id=8)
    ruri = {target.pinned.server_id: target.ruri for target in world.route(invite()).targets}
    assert ruri[ACME_1] == "sip:0033140000000@203.0.113.7:5060"
    assert ruri[ACME_2] == "sip:0140000000@203.0.113.8:5070"


@pytest.mark.parametrize(
    ("ported", "routing"),
    [
        (None, "33140000000"),
        (PortedNumber("33140000000", "33650000000"), "33650000000"),
        (PortedNumber("3314", "991"), "9910000000"),
        (PortedNumber("33", "9033"), "9033140000000"),
    ],
)
def test_a_routing_number_takes_the_place_of_the_ported_beginning(ported: PortedNumber | None, routing: str) -> None:
    """The rest of the number stays."""
    assert routing_number(E164("33140000000"), ported) == routing


def test_a_name_that_nobody_has_is_not_found() -> None:
    """It was no number, so nothing is wrong with one. A carrier dials numbers alone."""
    refusal = World().refusal(invite(callee="Nobody"))
    assert (refusal.reason, refusal.status) == ("not_found", 404)
    assert refusal.trace[-1] == "no extension, user or line of account 5 is called nobody"
    assert World().refusal(from_peer("nobody")).reason == "bad_number"
