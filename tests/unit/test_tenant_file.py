"""Files that describe tenants: what is wrong is told with file, line, key and rule; the rest is read exactly."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from kemi.core.refusals import REFUSALS
from tools.errors import OperatorError
from tools.tenant import week
from tools.tenant.described import DESCRIBED
from tools.tenant.document import Document, Password, in_force, read_document
from tools.tenant.faults import SHOWN_MAX, Faults, Place
from tools.tenant.prices import Period, PeriodPrice, Price, PriceList, differences, read, written
from tools.tenant.schema import document_schema
from tools.tenant.world import Address, Named
from tools.tenant.yaml_tree import DEPTH_MAX, Entries, Items, Text, read_file, read_text

LIST = PriceList(
    (Period("peak", week.parts_of("Mon-Fri 08:00-18:00")),),
    {
        "44": Price(25_000),
        "447": Price(90_000, 30, 6, 10_000, 1, periods=(PeriodPrice("peak", 120_000, 5),)),
        "1900": Price(0, forbidden=True),
    },
)


def parsed(text: str) -> Document:
    """Read a description of the account North; faults are raised. text: what stands below `account`."""
    body = "".join(f"  {each}\n" for each in text.splitlines())
    return whole(f"tandem: 1\naccount:\n  name: North\n{body}")


def whole(text: str) -> Document:
    faults = Faults("x.yaml")
    found = read_document(read_text(text, "x.yaml"), faults)
    faults.check()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x.yaml:1: the file is empty"),
        ("a: 1\n---\nb: 2", "x.yaml:2: a second document; a file describes one tenant"),
        ("a: &x 1\nb: *x", "x.yaml:1: anchors (&) and aliases (*) are not used here: write the values out"),
        ("a: *x", "x.yaml:1: anchors (&) and aliases (*) are not used here: write the values out"),
        (
            "a: !!python/name:os.system 1",
            "x.yaml:1: tags such as tag:yaml.org,2002:python/name:os.system are not used here",
        ),
        ("a: 1\nb: 2\na: 3", "x.yaml:3: key 'a' is in line 1 already"),
        ("? [a]\n: 1", "x.yaml:1: a key is a plain word"),
        ("[" * (DEPTH_MAX + 1), f"x.yaml:1: nested more than {DEPTH_MAX} deep"),
        (
            "a:\n\t- b",
            "x.yaml:2: no YAML: while scanning for the next token found character that cannot start any token",
        ),
        ("a: 1\nb: \x07", "x.yaml:2: no YAML: control characters are not allowed"),
    ],
)
def test_what_is_no_such_yaml(text: str, said: str) -> None:
    """File, line, and what is wrong there."""
    with pytest.raises(OperatorError) as refusal:
        read_text(text, "x.yaml")
    assert str(refusal.value) == said


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such file, too large, no UTF-8."""
    with pytest.raises(OperatorError, match="No such file or directory"):
        read_file(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(OperatorError, match=r"bad\.yaml:2: has bytes that are no UTF-8"):
        read_file(bad)
    monkeypatch.setattr("tools.tenant.yaml_tree.BYTES_MAX", 5)
    with pytest.raises(OperatorError, match="larger than 5 bytes"):
        read_file(bad)


def test_a_scalar_is_the_text_that_was_written() -> None:
    """YAML's guesses touch nothing: `no`, octals, floats and dates stay what they look like."""
    tree = read_text("a: [no, 0800, 0.10, 2026-11-22, 1e3, '~', ~]", "x.yaml")
    assert isinstance(tree, Entries)
    items = tree.get("a")
    assert isinstance(items, Items)
    texts = [each for each in items.nodes if isinstance(each, Text)]
    assert [each.value for each in texts] == ["no", "0800", "0.10", "2026-11-22", "1e3", "~", "~"]
    assert [each.is_null for each in texts] == [False, False, False, False, False, False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("langauge: fr", "4: account 'North': unknown key 'langauge'; did you mean language?"),
        ("xyz: 1", "4: account 'North': unknown key 'xyz'; known are name, kind, "),
        ("language: french", "4: account 'North': language: 'french' is not one of en, fr, ru, with or "),
        ("share_children: maybe", "4: account 'North': share_children: 'maybe' is not yes or no"),
        ("attempts_max: 17", "4: account 'North': attempts_max: '17' is not a whole number from 0 to 16"),
        ("routing: cost", "4: account 'North': routing: 'cost' is not a list of prefix, priority, cost, "),
        ("routing:\n- {a: b}", "4: account 'North': routing: a list is not a list of prefix, priority, cost, "),
        ("language: [en]", "4: account 'North': language: a list is not one of en, fr, ru, with or "),
        ("language: {en: 1}", "4: account 'North': language: a mapping is not one of en, fr, ru, with or "),
        ("contacts: 5", "4: account 'North': contacts: is not a list"),
        ("contacts:", "4: account 'North': contacts: is not a list"),
        ("contacts:\n- 5", "5: account 'North': contacts: is not a mapping of email, name, address, phone"),
        ("contacts:\n- name: x", "5: account 'North', contact: email: is missing"),
        ("contacts:\n- email: a@b\n- email: a@b", "6: account 'North', contact 'a@b': is in line 5 already"),
        ("rights: [fly]", "4: account 'North', right 'fly': right: 'fly' is not one of accounts, prices, "),
        ("subscribers:\n- {username: a, domain: a.b, password: ''}",
         "5: account 'North', subscriber 'a@a.b': password: is not a password of 1 to 128 characters"),
        ("tariffs:\n- {name: a, prices: cheap}", "5: account 'North', tariff 'a': prices: 'cheap' is not a price "),
        ("tariffs:\n- {name: a, prices: [1]}", "5: account 'North', tariff 'a', prices: is not a price list: "),
    ],
)  # fmt: skip
def test_what_may_not_stand_in_a_file(text: str, said: str) -> None:
    """File, line, where in the tenant, key, value and rule."""
    with pytest.raises(OperatorError) as refusal:
        parsed(text)
    assert str(refusal.value).startswith("x.yaml:")
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ("{rates: {x: 1}}", "rate 'x': the prefix is not 1 to 15 digits, the first 1-9"),
        ("{rates: {4: 0.0000001}}", "'0.0000001' is not an amount from 0 to 1000000 with at most 6 decimals"),
        ("{rates: {4: -1}}", "'-1' is not an amount from 0 to 1000000"),
        ("{rates: {4: [1]}}", "a price is an amount from 0"),
        ("{rates: {4: {first_s: 1}}}", "has no per_minute"),
        ("{rates: {4: {per_minute: 1, first_s: 0}}}", "first_s: '0' is not a whole number of seconds"),
        ("{rates: {4: {per_minute: 1, per_hour: 2}}}", "unknown key 'per_hour'; known are per_minute, "),
        ("{rates: {4: {per_minute: 1, periods: {peak: 1}}}}", "period 'peak': is none of the periods"),
        ("{rates: {4: {per_minute: 1, periods: 5}}}", "periods: is not a mapping of a period's name"),
        ("{periods: [{name: x, times: [Sat]}], rates: {4: {per_minute: 1, periods: {x: []}}}}", "nor {per_minute: "),
        ("{rates: 5}", "prices, rates: is not a mapping of prefixes to prices"),
        ("{rate: {}}", "unknown key 'rate'; a price list has periods and rates"),
        ("{rates: {}, periods: 5}", "periods: is not a list of at most 16"),
        ("{rates: {}, periods: [{name: x}]}", "periods: is not {name: …, times: […]}"),
        ("{rates: {}, periods: [{name: ' x', times: [Sat]}]}", "name ' x' is not 1 to 64"),
        ("{rates: {}, periods: [{name: x, times: [Sat]}, {name: x, times: [Sun]}]}", "period 'x' is said twice"),
        ("{rates: {}, periods: [{name: x, times: [Someday]}]}", "times: 'Someday' is not a part of the week"),
        ("{rates: {}, periods: [{name: x, times: []}]}", "times are not a list of a part of the week"),
    ],
)
def test_what_may_not_stand_in_a_price_list(prices: str, said: str) -> None:
    """The tariff, the prefix, the value and its rule."""
    with pytest.raises(OperatorError) as refusal:
        parsed(f"tariffs:\n- name: a\n  prices: {prices}")
    assert str(refusal.value).startswith("x.yaml:6: account 'North', tariff 'a', prices")
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "x.yaml:1: is not a mapping of tandem, below and account"),
        ("tandem: 2\naccount: {name: a}", "x.yaml:1: tandem: is not 1, the version of this format"),
        ("account: {name: a}", "x.yaml:1: tandem: is not 1, the version of this format"),
        ("tandem: 1", "x.yaml:1: account: is missing; it is a mapping that describes the account"),
        ("tandem: 1\nabove: x\naccount: {name: a}", "x.yaml:2: unknown key 'above'; known are tandem, below, account"),
        (
            "tandem: 1\nbelow: [x]\naccount: {name: a}",
            "x.yaml:2: below: is not the path of an account, such as Tandem/North",
        ),
        ("tandem: 1\naccount: 5", "x.yaml:2: accounts: is not a mapping of name, kind, "),
        ("tandem: 1\naccount: {}", "x.yaml:2: account: name: is missing"),
    ],
)
def test_the_head_of_a_file(text: str, said: str) -> None:
    """What the file is, and whose."""
    with pytest.raises(OperatorError) as refusal:
        whole(text)
    assert str(refusal.value).startswith(said)


def test_all_faults_are_told_in_the_order_of_the_file() -> None:
    """At most so many: who has more has one that repeats."""
    with pytest.raises(OperatorError) as refusal:
        parsed("language: french\ntimezone: Mars\nroutign: []")
    assert [line.split(":")[1] for line in str(refusal.value).splitlines()] == ["4", "5", "6"]
    with pytest.raises(OperatorError) as refusal:
        parsed("\n".join(f"key{n}: 1" for n in range(SHOWN_MAX + 5)))
    assert str(refusal.value).splitlines()[-1] == "and 5 more"


def test_a_password_is_in_no_fault() -> None:
    """Neither its text nor a part of it."""
    with pytest.raises(OperatorError) as refusal:
        parsed(f"subscribers:\n- {{username: a, domain: a.b, password: {'hush' * 40}}}")
    assert "hush" not in str(refusal.value)
    assert repr(Password("hush")) == "<password>"


def test_rows_are_known_by_whose_they_are_and_by_their_keys() -> None:
    """Names of accounts make paths; a key that is unique everywhere has no account in it."""
    found = parsed(
        "accounts:\n- name: A\n  numbers:\n  - {number: 442079460001, subscriber: a@b.c}\n  rights: [prices]"
    )
    number = found.wanted.rows[Address("number", (), ("442079460001",))]
    assert number.under == ("North", "A")
    assert number.values["subscriber"] == Named("subscriber", "a@b.c")
    assert Address("right", ("North", "A"), ("prices",)) in found.wanted.rows
    assert ("accounts" in DESCRIBED, ("account", ("North",)) in found.wanted.sections) == (False, True)


def test_the_newest_deck_that_has_begun_is_the_prices() -> None:
    """A file goes on meaning the same when one of its decks begins."""
    found = parsed(
        "tariffs:\n- name: a\n  prices: none\n  decks:\n"
        "  - {from: '2026-01-01T00:00:00+00:00', prices: imported}\n"
        "  - {from: '2026-06-01T00:00:00+00:00', prices: {rates: {4: 1}}}\n"
        "  - {from: '2027-01-01T00:00:00+00:00', prices: none}"
    )
    tariff = Address("tariff", ("North",), ("a",))
    for month, prices, decks in ((1, "imported", 2), (7, PriceList((), {"4": Price(1_000_000)}), 1)):
        then = in_force(found.wanted, datetime(2026, month, 2, tzinfo=UTC))
        assert then.rows[tariff].values["prices"] == prices
        assert sum(at.resource == "deck" for at in then.rows) == decks


def test_prices_read_back_as_they_were_written() -> None:
    """Exact decimals, the shortest way of saying each price."""
    said = written(LIST)
    assert said["rates"]["44"] == Decimal("0.025000")
    assert said["rates"]["1900"] == "forbidden"
    faults = Faults("x.yaml")
    assert read(faults, read_text(_dumped(said), "x.yaml"), Place(1, "")) == LIST
    faults.check()


def _dumped(value: object) -> str:
    """Return YAML of a value with decimals as numbers."""
    match value:
        case dict():
            return "{" + ", ".join(f"'{name}': {_dumped(each)}" for name, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_dumped, value)) + "]"
        case Decimal():
            return f"{value:f}"
        case _:
            return f"'{value}'"


def test_differences_of_price_lists_are_counted() -> None:
    """New, with another price, gone; other periods change every price."""
    other = PriceList((), {"44": Price(25_000), "49": Price(1)})
    assert differences(None, LIST) == (3, 0, 0)
    assert differences(LIST, LIST) == (0, 0, 0)
    assert differences(LIST, other) == (1, 1, 2)


def test_parts_of_the_week_read_back_as_they_are_shown() -> None:
    """The same minutes, however they were cut, in words that are understood."""
    chance = random.Random(7)  # noqa: S311  no secret
    for _ in range(500):
        ends = [sorted(chance.sample(range(week.WEEK + 1), 2)) for _ in range(chance.randint(0, 6))]
        parts = week.merged((begin, end) for begin, end in ends)
        said = week.shown(parts)
        assert week.merged(part for text in said for part in week.parts_of(text)) == parts
    assert week.shown([(0, week.WEEK)]) == ["Mon-Sun"]


@pytest.mark.parametrize("text", ["", "Foo", "Mon-", "25:00-26:00", " Sat", "Mon08:00-09:00", "Mon 08:60-09:00"])
def test_what_is_no_part_of_the_week(text: str) -> None:
    """The rule is said by whoever asked."""
    with pytest.raises(ValueError, match=r"^a part of the week such as Mon-Fri 08:00-18:00"):
        week.parts_of(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Mon 18:00-08:00", "ends before it begins; write 18:00-24:00 and 00:00-08:00"),
        ("18:00-00:00", "ends before it begins; write 18:00-24:00"),
        ("Sat 08:00-08:00", "ends where it begins"),
    ],
)
def test_times_over_midnight_are_two(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        week.parts_of(text)


def test_the_schema_names_every_reason_of_a_refusal() -> None:
    assert document_schema()["$defs"]["reply"]["properties"]["reason"]["enum"] == sorted(REFUSALS)


def test_the_schema_has_every_resource_and_field() -> None:
    """What is added to the catalogue is in it."""
    definitions = document_schema()["$defs"]
    assert set(definitions) == set(DESCRIBED)
    for name, resource in DESCRIBED.items():
        if "properties" in definitions[name]:
            assert {field.name for field in resource.written} <= set(definitions[name]["properties"])
