"""The caller's number."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.caller_id import NOBODY, CallerId
from kemi.core.outcome import Header
from kemi.core.request import SipUri
from kemi.records import CliPolicy, Identity
from tests.fakes.world import ACME_1, ALICE, BOB_NUMBER, TRUNK, World, from_peer, from_trunk, invite, uri

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


@pytest.mark.parametrize(("claim", "named"), [("boss", "boss"), (f"+{FOREIGN}", FOREIGN), (FOREIGN, FOREIGN)])
def test_a_claim_that_is_not_allowed_is_named(claim: str, named: str) -> None:
    """In E.164 where it is a number, else as it came."""
    trace = World().route(from_trunk(caller=f"{claim}@pbx.example")).trace
    assert f"caller ID {named} is not among those of {TRUNK}: shown as {OWN}" in trace


def test_a_claim_that_is_not_allowed_hides_no_less() -> None:
    """Who asked for privacy keeps it, and a line without a number has nothing to show instead."""
    anonymous = (OWN, "anonymous", "Anonymous")
    assert shown(World(), caller=f"{FOREIGN}@pbx.example", privacy="id") == anonymous
    world = World()
    world.change(f"sub:{TRUNK}", cli="")
    assert shown(world, caller=f"{FOREIGN}@pbx.example") == ("", "anonymous", "Anonymous")
    route = world.route(from_trunk(BOB_NUMBER, caller=f"{FOREIGN}@pbx.example"))
    assert "Reply-To" in route.targets[0].remove
    assert f"caller ID {FOREIGN} is not among those of {TRUNK}: shown as anonymous" in route.trace


def test_the_own_number_is_always_allowed() -> None:
    """Whether or not a pattern says so; it replaces nothing, so the name stays."""
    world = World()
    world.change(f"sub:{TRUNK}", allowed_clis=())
    assert shown(world, caller=f"{OWN}@pbx.example") == (OWN, f"+{OWN}", "")
    assert shown(world, caller=f"{ALLOWED}@pbx.example") == (OWN, f"+{OWN}", f"+{OWN}")


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
    assert "Reply-To" in route.targets[0].remove
    assert route.caller_uri == SipUri("sip", "anonymous", "a.example")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ppi": f"<sip:+{ALLOWED}@x>", "pai": f"<sip:+{OWN}@x>"}, ALLOWED),
        ({"pai": f"sip:{ALLOWED}@x"}, ALLOWED),
        ({"pai": f"tel:+{ALLOWED}"}, ALLOWED),
        ({"pai": f"<sip:boss@x>, <tel:+{ALLOWED}>"}, ALLOWED),
        ({"ppi": f"<sip:trunk@a.example>, <tel:+{ALLOWED}>"}, ALLOWED),
        ({"ppi": "<sip:trunk@a.example>"}, OWN),
        ({"pai": f"<sip:{FOREIGN}@x>"}, OWN),
        ({"pai": "nonsense"}, "442070000030"),
        ({"rpid": f"<sip:{ALLOWED}@x>"}, "442070000030"),
    ],
)
def test_where_a_claim_stands(fields: dict[str, str], expected: str) -> None:
    """P-Preferred-Identity, then P-Asserted-Identity as a mere claim, then From; Remote-Party-ID is never read."""
    assert shown(World(), caller="442070000030@pbx.example", **fields)[0] == expected


@pytest.mark.parametrize("privacy", ["id", "user", "user;id", "Header", "critical; id", "id,user"])
def test_who_asks_for_privacy_gets_it(privacy: str) -> None:
    """The number that was allowed is still what the carrier is told."""
    assert shown(World(), caller=f"{ALLOWED}@pbx.example", privacy=privacy) == (ALLOWED, "anonymous", "Anonymous")


def test_an_anonymous_from_asks_for_privacy() -> None:
    """RFC 3323's way for old phones; with P-Preferred-Identity one can be hidden and yet say who one is."""
    anonymous = "anonymous@anonymous.invalid"
    assert shown(World(), caller=anonymous) == (OWN, "anonymous", "Anonymous")
    assert shown(World(), caller=anonymous, ppi=f"<sip:{ALLOWED}@x>") == (ALLOWED, "anonymous", "Anonymous")
    assert shown(World(), caller=f"{ALLOWED}@anonymous.invalid") == (ALLOWED, "anonymous", "Anonymous")
    assert shown(World(), caller="Anonymous@a.example") == (OWN, "anonymous", "Anonymous")


def test_a_line_may_be_hidden_always() -> None:
    """CLIR needs no word of the phone, and binds calls to other lines too."""
    world = World()
    world.change(f"sub:{TRUNK}", is_hidden=True)
    assert shown(world, caller=f"{ALLOWED}@pbx.example", privacy="none") == (ALLOWED, "anonymous", "Anonymous")
    inside = world.route(from_trunk(BOB_NUMBER, caller=f"{ALLOWED}@pbx.example"))
    assert inside.targets[0].from_uri == "sip:anonymous@anonymous.invalid"
    assert "the line's number is never shown" in inside.trace
    assert "the line's number is never shown" not in World().route(from_trunk()).trace


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
        ({"pai": "<sip:who@x>, <tel:+33122222222>"}, "33122222222", "sip:+33122222222@a.example"),
        ({"pai": "<sip:who@x>"}, "", "sip:anonymous@anonymous.invalid"),
        ({"ppi": "<sip:+33122222222@x>", "rpid": "<sip:+33144444444@x>"}, "33122222222", "sip:+33122222222@a.example"),
        ({"rpid": "<sip:+33122222222@x>;party=calling"}, "33122222222", "sip:+33122222222@a.example"),
        ({"rpid": "<sip:+33122222222@x>;privacy=full"}, "33122222222", "sip:anonymous@anonymous.invalid"),
        ({"rpid": "<sip:+33122222222@x>;party=called"}, FOREIGN, f"sip:+{FOREIGN}@a.example"),
        ({"rpid": "<sip:+33122222222@x>;party=called;privacy=full"}, FOREIGN, f"sip:+{FOREIGN}@a.example"),
        (
            {"pai": "<sip:+33122222222@x>", "rpid": "<sip:+33122222222@x>;privacy=uri"},
            "33122222222",
            "sip:anonymous@anonymous.invalid",
        ),
        ({"caller": f"{FOREIGN}@anonymous.invalid"}, FOREIGN, "sip:anonymous@anonymous.invalid"),
        ({"caller": "unknown@x"}, "", "sip:anonymous@anonymous.invalid"),
        ({"caller": "unknown@x", "pai": "<sip:+33122222222@x>"}, "33122222222", "sip:+33122222222@a.example"),
    ],
)
def test_a_trusted_peer_is_believed(fields: dict[str, str], caller: str, from_uri: str) -> None:
    """What it asserts comes before its From; privacy binds us too; what is no number is anonymous."""
    route = World().route(from_peer(**fields))
    assert route.call.caller == caller
    assert route.targets[0].from_uri == from_uri


@pytest.mark.parametrize(
    "fields",
    [
        {"pai": "<sip:+33122222222@x>"},
        {"ppi": "<sip:+33122222222@x>"},
        {"rpid": "<sip:+33122222222@x>;privacy=off"},
        {"pai": "<sip:+33122222222@x>", "privacy": "none"},
        {"diversion": "<sip:+33122222222@x>"},
    ],
)
def test_a_peer_that_is_not_trusted_has_its_from(fields: dict[str, str]) -> None:
    """Nothing that it asserts is believed, and none of it goes on."""
    world = World()
    world.change_server(ACME_1, identity=Identity(is_trusted=False))
    route = world.route(from_peer(**fields))
    assert route.call.caller == FOREIGN
    assert (route.targets[0].from_uri, route.targets[0].headers) == (f"sip:+{FOREIGN}@a.example", ())
    assert f"server {ACME_1} is not trusted: what it asserts is not believed" in route.trace


@pytest.mark.parametrize(
    "fields", [{"privacy": "id"}, {"privacy": "user;critical"}, {"rpid": "<sip:+33122222222@x>;privacy=full"}]
)
def test_anybody_may_hide(fields: dict[str, str]) -> None:
    """Who hides a number pretends nothing. The number is kept, and marked: no tenant may read it."""
    world = World()
    assert not world.route(from_peer(**(fields | dict.fromkeys(fields, "")))).call.hidden
    for is_trusted in (False, True):
        world.change_server(ACME_1, identity=Identity(is_trusted=is_trusted))
        route = world.route(from_peer(**fields))
        assert route.call.hidden
        assert route.targets[0].from_uri == "sip:anonymous@anonymous.invalid"
        assert not any(route.call.caller in header.value for header in route.targets[0].headers)


def test_a_line_that_hides_is_marked() -> None:
    """For whatever shows this call to whom it reached; an emergency call hides nothing."""
    assert not World().route(invite()).call.hidden
    assert World().route(invite(privacy="id")).call.hidden
    assert not World().route(invite(callee="112", privacy="id")).call.hidden


def test_nothing_is_said_of_headers_that_are_not_there() -> None:
    """Nor of those of a trusted server."""
    world = World()
    assert not any("not trusted" in sentence for sentence in world.route(from_peer(pai=f"<sip:{FOREIGN}@x>")).trace)
    world.change_server(ACME_1, identity=Identity(is_trusted=False))
    assert not any("not trusted" in sentence for sentence in world.route(from_peer()).trace)


def test_who_has_no_number_is_hidden() -> None:
    """The rest of what names him goes too, whoever sends the call."""
    assert (NOBODY.number, NOBODY.anonymous) == ("", True)
    assert CallerId(OWN) == CallerId(OWN, anonymous=False, replaced=False, own="", diversions=())
    for fields in ({"pai": "<sip:who@x>"}, {"caller": "unknown@x"}):
        assert "Reply-To" in World().route(from_peer(**fields)).targets[0].remove
    assert "Reply-To" not in World().route(from_peer()).targets[0].remove


@pytest.mark.parametrize("caller", ["anonymous@anonymous.invalid", "unknown@x", f"{FOREIGN}@anonymous.invalid"])
def test_a_hidden_from_stays_hidden(caller: str) -> None:
    """Also where the server is not trusted."""
    world = World()
    world.change_server(ACME_1, identity=Identity(is_trusted=False))
    assert world.route(from_peer(caller=caller)).targets[0].from_uri == "sip:anonymous@anonymous.invalid"


@pytest.mark.parametrize(
    ("diversion", "told"),
    [
        (
            "<sip:+33122222222@x>;reason=user-busy;counter=2",
            ["<sip:+33122222222@a.example>;reason=user-busy;counter=2"],
        ),
        ("<tel:+33122222222>;reason=odd", ["<sip:+33122222222@a.example>;reason=unknown"]),
        (
            "<sip:33122222222@x>, <sip:33144444444@x>;reason=away",
            ["<sip:+33122222222@a.example>;reason=unknown", "<sip:+33144444444@a.example>;reason=away"],
        ),
        ("<sip:33122222222@x>;privacy=full", []),
        ("<sip:who@x>", []),
        ("nonsense", []),
        ("<sip:33122222222@x>," * 9, ["<sip:+33122222222@a.example>;reason=unknown"] * 5),
    ],
)
def test_a_trusted_peer_may_report_a_diversion(diversion: str, told: list[str]) -> None:
    """The phone learns who passed the call on, latest first; not who asked to be hidden."""
    headers = World().route(from_peer(diversion=diversion)).targets[0].headers
    assert headers == tuple(Header("Diversion", value) for value in told)


def test_a_subscriber_may_not_report_a_diversion() -> None:
    """He could invent one."""
    assert World().route(invite(callee=BOB_NUMBER, diversion="<sip:+33122222222@x>")).targets[0].headers == ()
