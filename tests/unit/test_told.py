"""What an attempt tells of the caller, and to whom."""

from __future__ import annotations

import pytest

from kemi.core.caller_id import CallerId
from kemi.core.outcome import Header, Target
from kemi.core.targets import ALWAYS_REMOVED, from_uri
from kemi.records import (
    Identity,
)
from tests.fakes.world import (
    ACME_1,
    BOB_NUMBER,
    TRUNK,
    World,
    from_peer,
    from_trunk,
    invite,
)

OWN = "442070000010"
ALLOWED = "442070000015"
PLUS_OWN, PLUS_ALLOWED = f"<sip:+{OWN}@a.example>", f"<sip:+{ALLOWED}@a.example>"
ALL = ("pai", "ppi", "rpid", "privacy", "diversion")
OF_HIDDEN = (
    "Reply-To",
    "Call-Info",
    "Organization",
    "User-Agent",
    "Server",
    "Subject",
    "In-Reply-To",
    "Warning",
    "Alert-Info",
    "Error-Info",
    "User-to-User",
    "P-Access-Network-Info",
    "Cellular-Network-Info",
    "P-Visited-Network-ID",
    "P-Private-Network-Indication",
    "Geolocation",
    "Proxy-Require",
)


def target(world: World, server_id: int, **fields: str) -> Target:
    targets = world.route(from_trunk(**({"caller": f"{OWN}@pbx.example"} | fields))).targets
    return next(target for target in targets if target.pinned.server_id == server_id)


def test_nobody_has_a_from_of_his_own() -> None:
    """A host without a user would name our tenant, not the caller."""
    assert from_uri(CallerId(OWN), "", "a.example") == "sip:anonymous@anonymous.invalid"
    assert from_uri(CallerId(OWN, anonymous=True), OWN, "a.example") == "sip:anonymous@anonymous.invalid"
    assert from_uri(CallerId(OWN), OWN, "a.example") == f"sip:{OWN}@a.example"


def test_a_hidden_caller_is_asserted_and_not_shown() -> None:
    """RFC 3325: the carrier is told who calls, and to tell nobody."""
    made = target(World(), ACME_1, privacy="id")
    assert made.from_uri == "sip:anonymous@anonymous.invalid"
    assert made.from_display == "Anonymous"
    assert made.headers == (
        Header("P-Asserted-Identity", "<sip:+442070000010@a.example>"),
        Header("Privacy", "id"),
    )


TELLING = (
    "CC-Diversion",
    "History-Info",
    "Identity",
    "Identity-Info",
    "n",
    "P-Charge-Info",
    "P-Served-User",
    "Referred-By",
)


@pytest.mark.parametrize("header", TELLING)
def test_what_tells_of_others_goes_no_further(header: str) -> None:
    """Neither to carriers nor to phones, whoever sent it."""
    world = World()
    attempts = (
        target(world, ACME_1),
        world.route(invite(callee=BOB_NUMBER)).targets[0],
        world.route(from_peer()).targets[0],
    )
    assert all(header in attempt.remove for attempt in attempts)


@pytest.mark.parametrize(
    ("contact", "sent"),
    [
        (f'"Joe Real" <sip:{OWN}@192.0.2.9:5062;ob>;+sip.instance="<urn:uuid:1>"', ["<sip:192.0.2.9:5062>"]),
        ('"a <sip:b@c>" <sip:line@192.0.2.9>', ["<sip:192.0.2.9>"]),
        (f"sip:{OWN}@192.0.2.9", ["<sip:192.0.2.9>"]),
        ("<sip:line@[2001:db8::9]>", ["<sip:[2001:db8::9]>"]),
        (f"<tel:{OWN}>", ["<sip:{source}>"]),
        (f"{OWN} <nonsense>", ["<sip:{source}>"]),
        ("", []),
    ],
)
def test_a_hidden_caller_leaves_no_other_trace(contact: str, sent: list[str]) -> None:
    """The Contact must stay, but says no more than where he is reached. RFC 3323 §5.3."""
    world = World()
    hidden = from_trunk(privacy="id", contact=contact), invite(callee=BOB_NUMBER, privacy="id", contact=contact)
    for call in hidden:
        attempt = world.route(call).targets[0]
        assert set(OF_HIDDEN) < set(attempt.remove)
        expected = [value.format(source=f"{call.source_ip}:5060") for value in sent]
        assert [header.value for header in attempt.headers if header.name == "Contact"] == expected
        assert ("Contact" in attempt.remove) is bool(sent)
    for call in hidden:
        attempt = world.route(call._replace(privacy="")).targets[0]
        assert not {"Contact", *OF_HIDDEN} & set(attempt.remove)


def test_a_hidden_callers_contact_keeps_its_transport() -> None:
    """Over TCP the far side is told TCP."""
    call = invite(callee=BOB_NUMBER, privacy="id", contact="<sip:1@192.0.2.9>", transport="tcp")
    assert Header("Contact", "<sip:192.0.2.9;transport=tcp>") in World().route(call).targets[0].headers


def test_a_caller_without_a_number_gets_none_from_a_rule() -> None:
    """A rule that prepends a "+" makes no number out of nothing."""
    world = World()
    world.change("sub:trunk@a.example", cli="")
    made = next(t for t in world.route(from_trunk(caller="x@pbx.example")).targets if t.pinned.server_id == ACME_1)
    assert (made.from_uri, made.from_display, made.headers) == ("sip:anonymous@anonymous.invalid", "Anonymous", ())


@pytest.mark.parametrize(
    "header",
    [
        "Authorization",
        "Proxy-Authorization",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "Privacy",
        "Diversion",
        "X-Tandem-*",
    ],
)
def test_what_a_subscriber_says_of_itself_goes_no_further(header: str) -> None:
    """Neither to carriers nor to phones."""
    world = World()
    for route in (world.route(invite()), world.route(invite(callee=BOB_NUMBER))):
        assert all(header in target.remove for target in route.targets)


def test_all_are_stripped_of_the_same() -> None:
    """What a trusted peer says is read and told anew: nothing that it wrote goes on as it wrote it."""
    assert World().route(from_peer()).targets[0].remove == ALWAYS_REMOVED
    assert World().route(invite(callee=BOB_NUMBER)).targets[0].remove == ALWAYS_REMOVED
    assert target(World(), ACME_1).remove == ALWAYS_REMOVED


@pytest.mark.parametrize(
    ("words", "open_to_all", "hidden"),
    [
        ((), {}, {}),
        (("pai",), {"P-Asserted-Identity": PLUS_OWN}, {}),
        (("ppi",), {"P-Preferred-Identity": PLUS_OWN}, {}),
        (("privacy",), {}, {"Privacy": "id"}),
        (
            ("privacy", "pai", "unheard"),
            {"P-Asserted-Identity": PLUS_OWN},
            {"P-Asserted-Identity": PLUS_OWN, "Privacy": "id"},
        ),
        (
            ("rpid",),
            {"Remote-Party-ID": f"{PLUS_OWN};party=calling;privacy=off"},
            {"Remote-Party-ID": f"{PLUS_OWN};party=calling;privacy=full"},
        ),
        (
            ("rpid", "pai"),
            {"P-Asserted-Identity": PLUS_OWN, "Remote-Party-ID": f"{PLUS_OWN};party=calling;privacy=off"},
            {"Remote-Party-ID": f"{PLUS_OWN};party=calling;privacy=full"},
        ),
        (("diversion",), {}, {}),
    ],
)
def test_a_server_is_told_who_calls_in_the_headers_that_it_wants(
    words: tuple[str, ...], open_to_all: dict[str, str], hidden: dict[str, str]
) -> None:
    """A hidden number goes only where it is said with it that it is hidden."""
    world = World()
    world.change_server(ACME_1, identity=Identity(headers=words))
    assert dict(target(world, ACME_1).headers) == open_to_all
    assert dict(target(world, ACME_1, privacy="id").headers) == hidden


def test_a_server_that_is_not_trusted_is_told_nothing() -> None:
    """It sees the From as anybody does, and of a hidden caller nothing at all, whatever headers it is said to want."""
    world = World()
    world.change_server(ACME_1, identity=Identity(is_trusted=False, headers=ALL))
    assert target(world, ACME_1, caller=f"{ALLOWED}@pbx.example").headers == ()
    made = target(world, ACME_1, caller=f"{ALLOWED}@pbx.example", privacy="id", contact=f"<sip:{OWN}@192.0.2.9>")
    assert made.headers == (Header("Contact", "<sip:192.0.2.9>"),)
    assert made.from_uri == "sip:anonymous@anonymous.invalid"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"caller": f"{ALLOWED}@pbx.example"}, [f"{PLUS_OWN};reason=unknown"]),
        ({"caller": f"{ALLOWED}@pbx.example", "privacy": "id"}, [f"{PLUS_OWN};reason=unknown;privacy=full"]),
        ({"caller": f"{OWN}@pbx.example"}, []),
        ({"caller": "33199999999@pbx.example"}, []),
        ({"caller": f"{OWN}@pbx.example", "diversion": "<sip:+33122222222@x>"}, []),
    ],
)
def test_a_line_that_shows_another_number_says_which_it_is(fields: dict[str, str], told: list[str]) -> None:
    """RFC 5806: the carrier sees that the call came over a number that it knows as ours."""
    made = target(World(), ACME_1, **fields)
    assert [header.value for header in made.headers if header.name == "Diversion"] == told


def test_a_server_may_be_shown_the_lines_own_number() -> None:
    """In the From; the asserted identity stays the caller's, and a name that spells another number goes."""
    world = World()
    world.change_server(ACME_1, identity=Identity(shown="own"))
    made = target(world, ACME_1, caller=f"{ALLOWED}@pbx.example")
    assert (made.from_uri, made.from_display) == (f"sip:+{OWN}@a.example", f"+{OWN}")
    assert made.headers == (Header("P-Asserted-Identity", PLUS_ALLOWED),)
    assert target(world, ACME_1).from_display == ""
    hidden = target(world, ACME_1, caller=f"{ALLOWED}@pbx.example", privacy="id")
    assert hidden.from_uri == "sip:anonymous@anonymous.invalid"
    world.change(f"sub:{TRUNK}", cli="")
    assert target(world, ACME_1, caller=f"{ALLOWED}@pbx.example").from_uri == f"sip:+{ALLOWED}@a.example"


def test_a_server_may_want_another_host() -> None:
    """In every URI that names the caller."""
    world = World()
    world.change_server(ACME_1, identity=Identity(headers=ALL, host="tandem.example"))
    made = target(world, ACME_1, caller=f"{ALLOWED}@pbx.example")
    assert made.from_uri == f"sip:+{ALLOWED}@tandem.example"
    assert [header.name for header in made.headers] == [
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "Diversion",
    ]
    assert all("@tandem.example>" in header.value for header in made.headers)
