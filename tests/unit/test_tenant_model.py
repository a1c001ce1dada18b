"""Descriptions of resources: values as typed, plain and stored; the catalogue keeps its own rules."""

from __future__ import annotations

import re

import pytest

from tools.errors import OperatorError
from tools.tenant.catalogue import RESOURCES, above, children, resource
from tools.tenant.model import Field, Resource

FIELDS = [pytest.param(of, field, id=f"{of.name}.{field.name}") for of in RESOURCES for field in of.fields]

TYPED = [
    ("peering", "enabled", "no", False),
    ("peering", "enabled", "TRUE", True),
    ("peering", "priority", "9", 9),
    ("subscriber", "cli", "+442079460001", "442079460001"),
    ("subscriber", "blocked_in", "44*, anonymous", ["44*", "anonymous"]),
    ("subscriber", "status", "", "active"),
    ("subscriber", "cli", "", None),
    ("subscriber", "blocked_in", "", []),
    ("trusted", "network", "10.1.2.3", "10.1.2.3/32"),
    ("trusted", "network", "::1", "::1/128"),
    ("trusted", "network", "2001:DB8::/32", "2001:db8::/32"),
    ("server", "address", "2001:DB8::1", "2001:db8::1"),
    ("server", "aliases", "10.0.0.0/24", ["10.0.0.0/24"]),
    ("tariff", "round_to", "0.01", "0.01"),
    ("tariff", "timezone", "Europe/London", "Europe/London"),
    ("threshold", "amount", "-12.50", "-12.5"),
    ("account", "routing", "cost,quality", ["cost", "quality"]),
    ("account", "loss_pct", "-1", -1),
    ("rule", "valid_from", "2026-11-01T08:30+01:00", "2026-11-01T07:30:00+00:00"),
    ("rule", "valid_from", "2026-11-01T08:30:00.25Z", "2026-11-01T08:30:00.250000+00:00"),
    ("rule", "callee_prefix", "", ""),
    ("time_set", "weekly", "Mon-Fri 08:00-18:00,Sat", ["Mon-Fri 08:00-18:00", "Sat"]),
    ("time_set", "weekly", "Mon 08:00-12:00,Mon 12:00-18:00", ["Mon 08:00-18:00"]),
    ("time_set", "shut", "12-24..01-06,2026-05-01,02-29", ["02-29", "12-24..01-06", "2026-05-01"]),
    ("barring_rule", "pattern", "^4490", "^4490"),
    ("trusted", "from_pattern", "", ""),
]

REFUSED = [
    ("peering", "enabled", "maybe", "enabled: 'maybe' is not yes or no"),
    ("peering", "priority", "10", "priority: '10' is not a whole number from 1 to 9"),
    ("peering", "priority", "1.5", "priority: '1.5' is not a whole number from 1 to 9"),
    ("peering", "priority", "x" * 99, f"priority: '{'x' * 60}…' is not a whole number from 1 to 9"),
    ("subscriber", "cli", "0044", "cli: '0044' is not a number of 3 to 15 digits that does not begin with 0"),
    ("subscriber", "username", "", "username: '' is not 1 to 64 letters, digits or . _ + -"),
    ("subscriber", "status", "dead", "status: 'dead' is not one of active, suspended, closed"),
    ("subscriber", "blocked_in", "44*,44*", "blocked-in: '44*,44*' names something twice"),
    ("subscriber", "blocked_out", "anonymous", "blocked-out: 'anonymous' is not a list of up to 200 numbers"),
    ("trusted", "network", "0.0.0.0/0", "network: '0.0.0.0/0' is too wide, or no plain network, to identify somebody"),
    ("trusted", "network", "::ffff:10.0.0.0/112", "network: '::ffff:10.0.0.0/112' is too wide, or no plain network"),
    ("trusted", "network", "10.1.2.3/8", "network: '10.1.2.3/8' has bits outside of its mask; is 10.0.0.0/8 meant?"),
    ("trusted", "transport", "sctp", "transport: 'sctp' is not one of nothing, udp, tcp, tls"),
    ("server", "address", "sip.example", "address: 'sip.example' is not an IP address"),
    ("server", "host", "Sip.example", "host: 'Sip.example' is not a lower-case DNS name such as sip.carrier.example"),
    ("server", "socket", "udp:5060", "socket: 'udp:5060' is not a local socket such as udp:192.0.2.1:5060"),
    ("server", "identity_host", "_", "identity-host: '_' is not a host of a URI"),
    ("server", "login_contact_user", "a b", "login-contact-user: 'a b' is not up to 64 letters, digits or . _ + -"),
    (
        "server",
        "identity_headers",
        "from",
        "identity-headers: 'from' is not a list of pai, ppi, rpid, privacy, diversion",
    ),
    ("server", "aliases", "x", "aliases: 'x' is not a list of networks such as 192.0.2.0/24"),
    ("tariff", "round_to", "0", "round-to: '0' is not an amount from 0.000001 to 1"),
    ("tariff", "round_to", "1e3", "round-to: '1e3' is not an amount from 0.000001 to 1"),
    ("tariff", "timezone", "Mars/Olympus", "timezone: 'Mars/Olympus' is not a name of the time zone database"),
    ("tariff", "timezone", "../etc", "timezone: '../etc' is not a name of the time zone database"),
    ("tariff", "currency", "eur", "currency: 'eur' is not a currency such as EUR"),
    ("account", "language", "english", "language: 'english' is not one of en, fr, ru, with or without a region: fr-CA"),
    ("account", "barred", "0", "barred: '0' is not a list of beginnings of numbers, 1 to 15 digits each"),
    ("account", "name", " x", "name: ' x' is not a name of 1 to 64 printable characters without blanks at its ends"),
    ("account", "tariff", "a\tb", "tariff: 'a\\tb' is not the name or id of what is there"),
    ("contact", "email", "nobody", "email: 'nobody' is not an e-mail address"),
    ("contact", "name", "a\0b", "name: 'a\\x00b' is not text"),
    ("domain", "name", "example", "name: 'example' is not a lower-case DNS name such as sip.example.com"),
    ("domain", "region", "a b", "region: 'a b' is not a word of up to 32 letters, digits or . _ -"),
    ("reply", "reason", "No Funds", "reason: 'No Funds' is not one of bad_number, barred, blocked_in, "),
    ("reply", "phrase", "Zahl ß", "phrase: 'Zahl ß' is not 1 to 64 printable ASCII characters"),
    ("rule", "description", "a\nb", "description: 'a\\nb' is not up to 200 printable characters"),
    ("rule", "callee_prefix", "00", "callee-prefix: '00' is not the beginning of a number, up to 15 digits"),
    ("rule", "valid_from", "2026-11-01", "valid-from: '2026-11-01' is not a time with its offset, such as"),
    ("rule", "valid_to", "2026-11-01T00:00", "valid-to: '2026-11-01T00:00' is not a time with its offset, such as"),
    ("rule", "callee_pattern", "(a+)+", "callee-pattern: '(a+)+' cannot be used: nested or too many quantifiers"),
    ("barring_rule", "pattern", "a" * 257, "has 257 characters, at most 256 are allowed"),
    ("rewrite_rule", "replacement", "a b", "replacement: 'a b' is not up to 64 characters that can be dialled"),
    ("time_set", "weekly", "Foo", "weekly: 'Foo' is not a list of parts of the week such as Mon-Fri 08:00-18:00"),
    ("time_set", "shut", "02-30", "shut: '02-30' is not a list of days such as 12-24..01-06 (each year) or 2026-05-01"),
    ("time_set", "open", "today", "open: 'today' is not a list of days such as"),
]


@pytest.mark.parametrize(("name", "field", "text", "plain"), TYPED)
def test_a_typed_text_has_one_plain_form(name: str, field: str, text: str, plain: object) -> None:
    described = resource(name).field(field)
    assert described.shown(described.typed(text)) == plain


@pytest.mark.parametrize(("name", "field", "text", "sentence"), REFUSED)
def test_a_refusal_names_field_value_and_rule(name: str, field: str, text: str, sentence: str) -> None:
    with pytest.raises(OperatorError, match=re.escape(sentence)):
        resource(name).field(field).typed(text)


@pytest.mark.parametrize("plain", [1, 1.5, True, ["x"], {"a": 1}, "x" * 2000], ids=str)
@pytest.mark.parametrize(("of", "field"), FIELDS)
def test_a_plain_value_of_any_type_is_taken_or_refused_in_words(of: Resource, field: Field, plain: object) -> None:
    stored, sentence = _read(field, plain)
    if sentence:
        assert sentence.startswith(f"{field.name}: "), of.name
    else:
        assert field.shown(field.read(field.shown(stored))) == field.shown(stored)


@pytest.mark.parametrize(("of", "field"), FIELDS)
def test_what_is_not_said_is_the_default_or_missing(of: Resource, field: Field) -> None:
    if field.required:
        with pytest.raises(OperatorError, match=rf"^{field.name}: is missing; it is {re.escape(field.kind.rule)}$"):
            field.read(None)
    else:
        assert field.shown(field.read(None)) == field.default, of.name


@pytest.mark.parametrize("of", RESOURCES, ids=lambda of: of.name)
def test_a_description_is_whole(of: Resource) -> None:
    names = set(of.by_name)
    assert len(names) == len(of.fields)
    assert set(of.key) <= names
    assert set(of.named_by) <= names
    assert len(of.named_by) == 1 or of.joint
    assert bool(of.parent) == bool(of.parent_column)
    upper = above(of)
    assert upper is None or of in children(upper)
    for field in of.fields:
        assert field.help.endswith("."), field
        assert field.kind.rule, field
        assert not field.refers or resource(field.refers)
        assert not (field.required and field.default is not None), field
    assert of.parts("x") == {of.named_by[0]: "x"}


def test_names_and_command_lines_are_unique() -> None:
    assert len({of.name for of in RESOURCES}) == len(RESOURCES)
    assert len({of.words for of in RESOURCES}) == len(RESOURCES)
    assert len({(of.parent, of.section) for of in RESOURCES}) == len(RESOURCES)


def _read(field: Field, plain: object) -> tuple[object, str]:
    """Return the stored form, or the sentence of the refusal."""
    try:
        return field.read(plain), ""
    except OperatorError as error:
        return None, str(error)
