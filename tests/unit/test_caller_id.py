"""The caller's number."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.caller_id import asserted_uri
from kemi.core.request import SipUri
from kemi.records import CliPolicy
from tests.fakes.world import ALICE, TRUNK, World, from_peer, from_trunk, invite, uri

OWN = "442070000010"
ALLOWED = "442070000015"  # by the pattern 4420700000[1-3]?
FOREIGN = "33199999999"


def shown(world: World, **fields: Any) -> tuple[str, str, str]:
    """Return caller, From user and display of a call of the trunk."""
    route = world.route(from_trunk(**fields))
    target = route.targets[0]
    return route.call.caller, uri(target.from_uri.removeprefix("sip:")).user, target.from_display


@pytest.mark.parametrize("number", [OWN, ALLOWED, "02070000015", "+442070000015"])
def test_an_allowed_number_is_shown(number: str) -> None:
    """The own number and those that a pattern allows, in any notation that the rules know; the name stays."""
    caller = OWN if number == OWN else ALLOWED
    assert shown(World(), caller=f"{number}@pbx.example") == (caller, f"+{caller}", "")


@pytest.mark.parametrize("number", [FOREIGN, "442070000045", "4420700000155", "boss", "%00"])
def test_override_shows_the_own_number(number: str) -> None:
    """The name goes with the number that was claimed: it could spell it."""
    assert shown(World(), caller=f"{number}@pbx.example") == (OWN, f"+{OWN}", f"+{OWN}")


def test_anonymise_hides_it() -> None:
    """Nothing of the claim is shown; the carrier is told the own number and to keep it."""
    world = World()
    world.change(f"sub:{TRUNK}", cli_policy=CliPolicy.ANONYMISE)
    assert shown(world, caller=f"{FOREIGN}@pbx.example") == (OWN, "anonymous", "Anonymous")


def test_reject_refuses() -> None:
    """The refusal names the line's account; a call with an allowed number passes."""
    world = World()
    world.change(f"sub:{TRUNK}", cli_policy=CliPolicy.REJECT)
    refusal = world.refusal(from_trunk(caller=f"{FOREIGN}@pbx.example"))
    assert (refusal.reason, refusal.status, refusal.account_id) == ("cli", 403, 5)
    assert refusal.trace[-1] == f"caller ID {FOREIGN} is not among those of {TRUNK}"
    assert shown(world, caller=f"{ALLOWED}@pbx.example")[0] == ALLOWED


@pytest.mark.parametrize("policy", CliPolicy)
@pytest.mark.parametrize("user", ["trunk", "TRUNK", ""])
def test_a_from_that_only_names_the_line_claims_nothing(user: str, policy: CliPolicy) -> None:
    """No policy punishes a phone for putting its user name in the From: the own number is shown."""
    world = World()
    world.change(f"sub:{TRUNK}", cli_policy=policy)
    assert shown(world, caller=f"{user}@a.example")[:2] == (OWN, f"+{OWN}")


def test_a_line_without_a_number_is_anonymous() -> None:
    """There is nothing to show and nothing to assert."""
    world = World()
    world.change(f"sub:{ALICE}", cli="", allowed_clis=())
    route = world.route(invite())
    assert route.call.caller == ""
    assert route.targets[0].from_uri == "sip:anonymous@anonymous.invalid"
    assert route.targets[0].headers == ()
    assert route.caller_uri == SipUri("sip", "anonymous", "a.example")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ppi": f"<sip:+{ALLOWED}@x>", "pai": f"<sip:+{OWN}@x>"}, ALLOWED),
        ({"pai": f"sip:{ALLOWED}@x"}, ALLOWED),
        ({"pai": f"tel:+{ALLOWED}"}, ALLOWED),
        ({"pai": f"<sip:{FOREIGN}@x>"}, OWN),
        ({"pai": "nonsense"}, "442070000030"),
        ({"rpid": f"<sip:{ALLOWED}@x>"}, "442070000030"),
    ],
)
def test_where_a_claim_stands(fields: dict[str, str], expected: str) -> None:
    """P-Preferred-Identity, then P-Asserted-Identity as a mere claim, then From; Remote-Party-ID is never read."""
    assert shown(World(), caller="442070000030@pbx.example", **fields)[0] == expected


@pytest.mark.parametrize("privacy", ["id", "user;id", "Header", "critical; id", "id,user"])
def test_who_asks_for_privacy_gets_it(privacy: str) -> None:
    """The number that was allowed is still what the carrier is told."""
    assert shown(World(), caller=f"{ALLOWED}@pbx.example", privacy=privacy) == (ALLOWED, "anonymous", "Anonymous")


def test_an_anonymous_from_asks_for_privacy() -> None:
    """RFC 3323's way for old phones; with P-Preferred-Identity one can be hidden and yet say who one is."""
    anonymous = "anonymous@anonymous.invalid"
    assert shown(World(), caller=anonymous) == (OWN, "anonymous", "Anonymous")
    assert shown(World(), caller=anonymous, ppi=f"<sip:{ALLOWED}@x>") == (ALLOWED, "anonymous", "Anonymous")


@pytest.mark.parametrize("privacy", ["", "none", "identity"])
def test_nobody_else_is_hidden(privacy: str) -> None:
    """Only RFC 3323's words count, whole."""
    assert shown(World(), caller=f"{ALLOWED}@pbx.example", privacy=privacy)[1] == f"+{ALLOWED}"


@pytest.mark.parametrize(
    ("fields", "caller", "from_uri"),
    [
        ({}, FOREIGN, f"sip:+{FOREIGN}@a.example"),
        ({"pai": '"A" <sip:+33122222222@x>'}, "33122222222", "sip:+33122222222@a.example"),
        ({"pai": "<sip:+33122222222@x>", "privacy": "id"}, "33122222222", "sip:anonymous@anonymous.invalid"),
        ({"caller": "unknown@x"}, "", "sip:anonymous@anonymous.invalid"),
        ({"caller": "unknown@x", "pai": "<sip:+33122222222@x>"}, "33122222222", "sip:+33122222222@a.example"),
    ],
)
def test_a_peer_is_believed(fields: dict[str, str], caller: str, from_uri: str) -> None:
    """Its asserted identity comes before its From; privacy binds us too; what is no number is anonymous."""
    route = World().route(from_peer(**fields))
    assert route.call.caller == caller
    assert route.targets[0].from_uri == from_uri


@pytest.mark.parametrize(
    ("value", "user"),
    [
        ("sip:a@x", "a"),
        (" <sip:a@x>;party=calling", "a"),
        ("Alice <sip:a@x>", "a"),
        ('"<sip:evil@x>" <sip:a@x>', "a"),
        ('"\\"<sip:evil@x>" <sip:a@x>', "a"),
        ("<sip:a@x>, <sip:b@x>", "a"),
        ("", None),
        ("<>", None),
        ('"open <sip:a@x', "a"),
        ("<sip:a@x>" + " " * 600, None),
    ],
)
def test_identity_headers_are_parsed(value: str, user: str | None) -> None:
    """The first address counts, a display name never does, and an overlong header is none."""
    found = asserted_uri(value)
    assert (found.user if found else None) == user
