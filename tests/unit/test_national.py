"""The usual national rules: what is dialled in a country becomes the number that is meant, and back."""

from __future__ import annotations

import phonenumbers
import pytest
from phonenumbers import PhoneMetadata

from kemi.core.pattern import PATHS_MAX, WAYS_MAX, compile_pattern
from kemi.core.rewrite import rewrite, to_e164
from kemi.records import RewriteRule
from tools.errors import OperatorError
from tools.national.command import made
from tools.national.rules import Rule, plan_of, rules_in
from tools.national.samples import samples

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
DIALLED = [
    ("DE", "030123456", "4930123456"),
    ("DE", "01711234567", "491711234567"),
    ("DE", "00442079460000", "442079460000"),
    ("DE", "+4930123456", "4930123456"),
    ("IT", "0612345678", "390612345678"),  # the 0 is part of the number
    ("IT", "3121234567", "393121234567"),
    ("IT", "0049301234567", "49301234567"),
    ("RU", "84951234567", "74951234567"),
    ("RU", "8104930123456", "4930123456"),
    ("KZ", "87272123456", "77272123456"),
    ("US", "12125550123", "12125550123"),
    ("US", "2125550123", "12125550123"),
    ("US", "01149301234567", "49301234567"),
    ("CA", "4165550123", "14165550123"),
    ("HU", "0612345678", "3612345678"),
    ("HU", "06201234567", "36201234567"),
    ("GB", "02079460000", "442079460000"),
    ("FR", "0142345678", "33142345678"),
    ("ES", "912345678", "34912345678"),
    ("PT", "212345678", "351212345678"),
    ("PL", "221234567", "48221234567"),
    ("CZ", "212345678", "420212345678"),
    ("AT", "01234567890", "431234567890"),
    ("CH", "0442345678", "41442345678"),
    ("NL", "0201234567", "31201234567"),
    ("BE", "022345678", "3222345678"),
    ("DK", "32123456", "4532123456"),
    ("NO", "21234567", "4721234567"),
    ("SE", "0812345678", "46812345678"),
    ("FI", "0912345678", "358912345678"),
    ("FI", "99044207946000", "44207946000"),  # one of several international prefixes
    ("GR", "2123456789", "302123456789"),
    ("LT", "031234567", "37031234567"),
    ("LT", "831234567", "37031234567"),  # the trunk prefix of before 2023
    ("BY", "80152450911", "375152450911"),
    ("UA", "0311234567", "380311234567"),
    ("JP", "0312345678", "81312345678"),
    ("JP", "01049301234567", "49301234567"),
    ("CN", "01012345678", "861012345678"),
    ("KR", "0212345678", "82212345678"),
    ("KR", "00149301234567", "49301234567"),
    ("IN", "07410410123", "917410410123"),
    ("AU", "0212345678", "61212345678"),
    ("AU", "001149301234567", "49301234567"),
    ("HK", "21234567", "85221234567"),
    ("SG", "61234567", "6561234567"),
    ("IL", "021234567", "97221234567"),
    ("BR", "01123456789", "551123456789"),
    ("BR", "001549301234567", "49301234567"),
    ("MX", "2001234567", "522001234567"),
    ("ZA", "0101234567", "27101234567"),
    ("CI", "2123456789", "2252123456789"),
    ("CN", "13123456789", "8613123456789"),  # not +1 312 345 6789
    ("PE", "912345678", "51912345678"),  # not +91
    ("CO", "3211234567", "573211234567"),  # not +32
    ("BO", "71234567", "59171234567"),
    ("IN", "9812345678", "919812345678"),
    ("BR", "11961234567", "5511961234567"),
    ("AR", "1123456789", "541123456789"),
    ("DE", "442079460000", "442079460000"),  # a number with its country's code, and no more
]


def rewritten(rules: list[Rule], side: str, text: str) -> str:
    kept = [rule for rule in rules if rule.side == side]
    kept.sort(key=lambda rule: rule.priority)
    return rewrite(tuple(RewriteRule(rule.priority, *rule[1:4]) for rule in kept), text)[0]


@pytest.mark.parametrize(("region", "dialled", "meant"), DIALLED)
def test_what_is_dialled_is_what_is_meant(region: str, dialled: str, meant: str) -> None:
    rules = made(region)
    assert to_e164(rewritten(rules, "callee_in", dialled)) == meant
    assert to_e164(rewritten(rules, "caller_in", dialled)) == meant


def test_the_table_has_many_countries() -> None:
    assert len({region for region, *_ in DIALLED}) >= 20


@pytest.mark.parametrize("region", ["DE", "IT", "US", "RU", "HU"])
@pytest.mark.parametrize("text", ["112", "110", "*21#", "anonymous", "4912", ""])
def test_what_is_no_national_number_stays(region: str, text: str) -> None:
    assert rewritten(made(region), "callee_in", text) == text


@pytest.mark.parametrize("region", REGIONS)
def test_every_countrys_examples_are_understood(region: str) -> None:
    """Of all that metadata knows: the example numbers with the trunk prefix or a +, and a number abroad."""
    known, rules = PhoneMetadata.metadata_for_region(region), made(region)
    assert known is not None
    assert rules
    for kind in (known.fixed_line, known.mobile):
        if kind is None or not kind.example_number:
            continue
        number = f"{known.country_code}{kind.example_number}"
        for dialled in ((known.national_prefix or "") + kind.example_number, f"+{number}"):
            assert to_e164(rewritten(rules, "callee_in", dialled)) == number
        sent = plan_of(region).sent_international
        if sent:
            assert to_e164(rewritten(rules, "callee_in", f"{sent}4930123456")) == "4930123456"


@pytest.mark.parametrize("region", REGIONS)
def test_no_national_number_is_taken_for_another_countrys(region: str) -> None:
    """As people write their numbers to each other, with or without the trunk prefix: what it means, or nothing."""
    known, rules = PhoneMetadata.metadata_for_region(region), made(region)
    assert known is not None
    for kind in (known.fixed_line, known.mobile):
        if kind is None or not kind.example_number or not kind.national_number_pattern:
            continue
        for national in (kind.example_number, *samples(kind.national_number_pattern, 20)):
            number = phonenumbers.PhoneNumber(
                known.country_code, int(national), italian_leading_zero=national[0] == "0"
            )
            written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            dialled = "".join(filter(str.isdecimal, written))
            found = to_e164(rewritten(rules, "callee_in", dialled))
            assert found is None or found.startswith(str(known.country_code)), dialled
            if national == kind.example_number and found is not None:
                assert found == f"{known.country_code}{national}"


@pytest.mark.parametrize(("region", "dialled"), [("BR", "961234567"), ("AR", "23456789"), ("AR", "0111523456789")])
def test_what_cannot_be_told_is_refused(region: str, dialled: str) -> None:
    """A number within Sao Paulo is not one in Lebanon."""
    assert to_e164(rewritten(made(region), "callee_in", dialled)) is None


@pytest.mark.parametrize("region", REGIONS)
def test_all_rules_of_a_country_are_cheap_together(region: str) -> None:
    ways = [compile_pattern(rule.pattern).ways for rule in made(region) if rule.side == "callee_in"]
    assert max(ways) * 100 < PATHS_MAX
    assert sum(ways) * 100 < WAYS_MAX


@pytest.mark.parametrize(
    ("region", "number", "sent"),
    [
        ("DE", "4930123456", "030123456"),
        ("DE", "442079460000", "00442079460000"),
        ("IT", "390612345678", "0612345678"),
        ("RU", "74951234567", "84951234567"),
        ("RU", "4930123456", "8104930123456"),
        ("US", "12125550123", "12125550123"),
        ("US", "4930123456", "0114930123456"),
        ("HU", "3612345678", "0612345678"),
        ("AU", "4930123456", "00114930123456"),
    ],
)
def test_numbers_go_out_as_they_are_dialled_there(region: str, number: str, sent: str) -> None:
    rules = made(region, out=True)
    assert rewritten(rules, "callee_out", number) == sent
    assert rewritten(rules, "caller_out", number) == sent
    assert to_e164(rewritten(rules, "callee_in", sent)) == number


def test_where_a_carrier_is_to_be_chosen_somebody_has_to_say_which() -> None:
    with pytest.raises(OperatorError, match="no one international prefix"):
        made("BR", out=True)
    assert rewritten(made("BR", out=True, prefix="0015"), "callee_out", "4930123456") == "00154930123456"


@pytest.mark.parametrize("region", ["XX", "Germany", "", "00", "../x"])
def test_what_is_no_country_is_refused(region: str) -> None:
    with pytest.raises(OperatorError, match="give its two letters"):
        plan_of(region)


def test_germanys_rules_are_those_that_everybody_writes() -> None:
    assert [(rule.pattern, rule.replacement) for rule in rules_in(plan_of("DE")) if rule.side == "callee_in"] == [
        (r"^\+([1-9])", r"+\1"),
        ("^00([1-9])", r"+\1"),
        ("^0([1-9][0-9]{3,12})$", r"+49\1"),
    ]
