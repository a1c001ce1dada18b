"""Laws of what is told of a caller, over any server, any line and any header."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kemi.core.asserted import VALUES_MAX, parties
from kemi.core.outcome import Header, Route, Target
from kemi.core.targets import ALWAYS_REMOVED
from kemi.core.uri import parse_uri
from kemi.records import CliPolicy, Identity, RewriteRule, RewriteSet
from tests.fakes.world import (
    ACME_1,
    ACME_2,
    ALICE_NUMBER,
    BELL_1,
    BOB_NUMBER,
    OWN_1,
    TRUNK,
    World,
    from_peer,
    from_trunk,
)
from tests.property.strategies import LAW

OWN, ALLOWED, FOREIGN = "442070000010", "442070000015", "33199999999"
NUMBERS = (OWN, ALLOWED, FOREIGN)
WORDS = ("pai", "ppi", "rpid", "privacy", "diversion", "other")

identities = st.builds(
    Identity,
    is_trusted=st.booleans(),
    shown=st.sampled_from(("caller", "own")),
    headers=st.lists(st.sampled_from(WORDS), unique=True).map(tuple),
    host=st.sampled_from(("", "tandem.example")),
)
values = st.one_of(
    st.sampled_from(("", *(f"<sip:+{number}@x>" for number in NUMBERS), f'"{FOREIGN}" <tel:+{ALLOWED}>;privacy=full')),
    st.text(max_size=60),
    st.text('"<>,;\\ sip:@x=full', max_size=40),
)
claims = st.fixed_dictionaries(
    {
        "caller": st.sampled_from(
            (*(f"{number}@pbx.example" for number in NUMBERS), "anonymous@anonymous.invalid", "x@y")
        ),
        "pai": values,
        "ppi": values,
        "rpid": values,
        "diversion": values,
        "privacy": st.sampled_from(("", "id", "user;id", "none")),
        "contact": st.sampled_from(
            ("", f"<sip:{OWN}@192.0.2.9>", f"sip:{ALLOWED}@[2001:db8::1]", f'"{OWN}" <tel:{OWN}>')
        ),
    }
)
lines = st.fixed_dictionaries(
    {
        "is_hidden": st.booleans(),
        "cli": st.sampled_from((OWN, "")),
        "cli_policy": st.sampled_from((CliPolicy.OVERRIDE, CliPolicy.ANONYMISE)),
    }
)


def routes(identity: Identity, line: dict[str, Any], claim: dict[str, str]) -> tuple[Route, Route, Route]:
    """Return a call of the trunk to a carrier and to a phone, and one of a peer to a phone."""
    world = World()
    for server_id in (ACME_1, ACME_2, BELL_1, OWN_1):
        world.change_server(server_id, identity=identity)
    world.change(f"sub:{TRUNK}", **line)
    return (
        world.route(from_trunk(**claim)),
        world.route(from_trunk(BOB_NUMBER, **claim)),
        world.route(from_peer(ALICE_NUMBER, **claim)),
    )


def is_hidden(route: Route) -> bool:
    return all(target.from_uri == "sip:anonymous@anonymous.invalid" for target in route.targets)


def told(target: Target) -> str:
    """Return all that an attempt says of its caller."""
    return "\n".join((target.from_uri, target.from_display, *(header.value for header in target.headers)))


@LAW
@given(identity=identities, line=lines, claim=claims)
def test_a_hidden_number_is_told_to_trusted_servers_only(
    identity: Identity, line: dict[str, Any], claim: dict[str, str]
) -> None:
    """Neither the number that would be shown nor the line's own: to nobody else, in no header. RFC 3323."""
    out, to_bob, _ = routes(identity, line, claim)
    if not (line["is_hidden"] or claim["privacy"] in ("id", "user;id")):
        return
    assert is_hidden(out)
    assert is_hidden(to_bob)
    untrusted = (*to_bob.targets, *(() if identity.is_trusted else out.targets))
    assert not any(number in told(target) for target in untrusted for number in NUMBERS)


@LAW
@given(identity=identities, line=lines, claim=claims)
def test_a_hidden_number_says_that_it_is_hidden(
    identity: Identity, line: dict[str, Any], claim: dict[str, str]
) -> None:
    """Whoever is told of it is told in the same message to keep it. RFC 3325 §7."""
    out = routes(identity, line, claim)[0]
    for target in out.targets if is_hidden(out) else ():
        names = {header.name for header in target.headers}
        assert "Privacy" in names or not names & {"P-Asserted-Identity", "P-Preferred-Identity"}
        assert all(
            "privacy=full" in value for name, value in target.headers if name in ("Remote-Party-ID", "Diversion")
        )


@LAW
@given(identity=identities, line=lines, claim=claims)
def test_what_is_set_was_stripped(identity: Identity, line: dict[str, Any], claim: dict[str, str]) -> None:
    """So nobody gets a header of ours twice, once in somebody else's words."""
    for route in routes(identity, line, claim):
        for target in route.targets:
            assert set(ALWAYS_REMOVED) <= set(target.remove)
            assert {header.name for header in target.headers} <= set(target.remove)


@LAW
@given(identity=identities, line=lines, claim=claims)
def test_a_line_is_named_by_its_own_numbers(identity: Identity, line: dict[str, Any], claim: dict[str, str]) -> None:
    """Whatever it claims, and wherever: a number that is not its own reaches neither carrier nor phone."""
    for route in routes(identity, line, claim)[:2]:
        assert route.call.caller in (OWN, ALLOWED, "")
        assert not any(FOREIGN in told(target) for target in route.targets)


@LAW
@given(line=lines, claim=claims)
def test_a_peer_that_is_not_trusted_names_its_from_and_nobody_else(line: dict[str, Any], claim: dict[str, str]) -> None:
    """What it asserts changes nothing at all; only a wish to hide does."""
    untrusted = Identity(is_trusted=False)
    claim |= {"privacy": "", "rpid": claim.get("rpid", "").replace("privacy", "counter")}
    bare = claim | dict.fromkeys(("pai", "ppi", "rpid", "diversion", "privacy"), "")
    whole, part = routes(untrusted, line, claim)[2], routes(untrusted, line, bare)[2]
    assert (whole.call.caller, whole.targets, whole.caller_uri) == (part.call.caller, part.targets, part.caller_uri)


@LAW
@given(identity=identities, claim=claims, replacement=st.text(max_size=8))
def test_what_is_told_stays_in_its_header(identity: Identity, claim: dict[str, str], replacement: str) -> None:
    """No rule, no claim and no host makes a second header, a second address or a parameter of it."""
    world = World()
    world.put("rws:2", RewriteSet(2, "", caller_out=(RewriteRule(1, 1, "^", replacement),)))
    world.change_server(ACME_1, identity=identity)
    target = next(t for t in world.route(from_trunk(**claim)).targets if t.pinned.server_id == ACME_1)
    assert parse_uri(target.from_uri) is not None
    for header in target.headers:
        assert is_one_line(header)
        found = parties(header.value)
        assert header.name == "Privacy" or len(found) == 1


def is_one_line(header: Header) -> bool:
    return header.value.isprintable() and header.value.isascii()


@LAW
@given(text=st.one_of(values, st.text('"<>,;\\ ', max_size=300), st.text(st.characters(codec=None), max_size=40)))
def test_reading_an_identity_header_is_total(text: str) -> None:
    """Whatever stands there: no exception, few addresses, each of them a URI that can be written again."""
    found = parties(text)
    assert len(found) <= VALUES_MAX
    assert all(parse_uri(str(party.uri)) == party.uri for party in found)


@LAW
@given(
    names=st.lists(st.text(max_size=8), max_size=6),
    users=st.lists(st.from_regex("[a-z0-9]{1,6}", fullmatch=True), max_size=6),
)
def test_a_list_is_read_as_it_was_written(names: list[str], users: list[str]) -> None:
    """Quoted names may hold anything, once their quotes and backslashes are escaped. RFC 3261 §25.1."""
    pairs = list(zip(names, users, strict=False))
    quoted = [name.replace("\\", "\\\\").replace('"', '\\"') for name, _ in pairs]
    text = ", ".join(f'"{name}" <sip:{user}@x>' for name, (_, user) in zip(quoted, pairs, strict=True))
    assert [party.uri.user for party in parties(text)] == [user for _, user in pairs]
