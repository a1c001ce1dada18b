"""How people in a country dial, as rewrite rules. Pure; what is known of countries comes with `phonenumbers`.

Rule 1: towards E.164 the first rule takes a "+", the next ones the international prefix, then national numbers; a
number that none of them takes stays as it is, so digits in E.164 without a "+" are taken as such.
Rule 2: where a country has a trunk prefix, what begins with it is national, with as many digits as its numbers have.
Where it has none, what fits the country's numbering plan is: in Italy the 0 is part of the number and stays.
Rule 3: numbers that people write without the trunk prefix, be it that they may (India) or must (mobiles in China), are
national without it too. Otherwise they would be taken for another country's.
Rule 4: what a country leaves to the choice of a carrier (Brazil's 0 15 …, Argentina's mobile 15) is nobody's usual
rule: it is not made up. There a last rule makes what is as long as a national or a local number no number at all.
Rule 5: a number within a town, without its area code, says nothing of the town: it needs a rule by hand.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import NumberFormat, PhoneMetadata, PhoneNumberDesc

from kemi.core.pattern import compile_pattern
from tools.errors import OperatorError
from tools.national.samples import samples

IN: Final = ("callee_in", "caller_in")
OUT: Final = ("callee_out", "caller_out")
E164_DIGITS: Final = 15
STEP: Final = 10  # between priorities: rules of one's own fit in between
PATTERN_MAX: Final = 250  # characters of a numbering plan in a rule; of a longer one only the lengths are told
CHOICE_MAX: Final = 6  # characters of a trunk prefix with a choice, such as [08] or 0|80?; longer ones serve services
UNCLEAR: Final = frozenset(("AR", "BR"))  # where digits of a carrier, or a 15, stand within what is dialled
NANP: Final = 1
"""Calling code of North America, where ten digits are national with and without the trunk prefix."""

_DIGITS: Final = re.compile(r"[0-9]+")


class Rule(NamedTuple):
    """A rewrite rule to be. what: for people."""

    side: str
    priority: int
    pattern: str
    replacement: str
    what: str


class Plan(NamedTuple):
    """A country's way of dialling. code: calling code. international, trunk: prefixes, as regular expressions.

    national: its numbers without either, as a regular expression. sent_international, sent_trunk: what is dialled for
    them; None = there is no one international prefix. trunk, sent_trunk "": it has no trunk prefix. bare: numbers that
    are national without it as well. unclear: what may be national, and cannot be told, "" = nothing.
    """

    region: str
    code: int
    international: str
    sent_international: str | None
    trunk: str
    sent_trunk: str
    national: str
    bare: tuple[str, ...] = ()
    unclear: str = ""


@cache
def plan_of(region: str) -> Plan:
    """Return how a country dials. region: two letters as in ISO 3166. Raises OperatorError for an unknown one."""
    known = PhoneMetadata.metadata_for_region(region.upper())
    if known is None or not known.country_code or not known.international_prefix or not known.general_desc:
        raise OperatorError(f"country: nothing is known of {region[:40]!r}; give its two letters, such as DE or US")
    code = known.country_code
    sent = (known.preferred_international_prefix or known.international_prefix).replace("~", "")  # ~: wait for a tone
    lengths = known.general_desc.possible_length
    most = min(max(lengths), E164_DIGITS - len(str(code)))
    if code == NANP:
        national = "[2-9][0-9]{9}"
    elif known.national_prefix:
        national = f"[1-9][0-9]{{{min(lengths) - 1},{most - 1}}}"
    else:
        national = known.general_desc.national_number_pattern or ""
    return Plan(
        region.upper(),
        code,
        known.international_prefix,
        sent if _DIGITS.fullmatch(sent) else None,
        _trunk(known.national_prefix or "", known.national_prefix_for_parsing or ""),
        known.national_prefix or "",
        national,
        _bare(known) if known.national_prefix and code != NANP else (),
        _unclear(known) if known.national_prefix and code != NANP else "",
    )


def rules_in(plan: Plan) -> list[Rule]:
    """Return the rules towards E.164, for the called and the caller's number alike."""
    made = [
        (r"^\+([1-9])", r"+\1", "a number with + is international as it stands"),
        (f"^{_grouped(plan.international)}([1-9])", r"+\1", "international prefix"),
    ]
    if plan.trunk:
        made.append(
            (f"^{_grouped(plan.trunk)}({plan.national})$", rf"+{plan.code}\1", "national, after the trunk prefix")
        )
    if not plan.trunk or plan.code == NANP:
        made.append((f"^({plan.national})$", rf"+{plan.code}\1", "national; there is no trunk prefix to dial"))
    made += (
        (f"^({bare})$", rf"+{plan.code}\1", "national, as it is written without trunk prefix") for bare in plan.bare
    )
    if plan.unclear:
        made.append((f"^({plan.unclear})$", r"0\1", "may be national, with what only a carrier knows: refused"))
    return _on_sides(IN, made)


def rules_out(plan: Plan) -> list[Rule]:
    """Return the rules from E.164 towards a next hop that wants numbers as they are dialled in the country.

    Raises OperatorError where a call abroad needs the choice of a carrier.
    """
    if plan.sent_international is None:
        raise OperatorError(
            f"country: {plan.region} has no one international prefix ({plan.international}); give one by --prefix"
        )
    made = [
        (f"^{plan.code}({plan.national})$", rf"{plan.sent_trunk}\1", "national"),
        ("^([1-9])", rf"{plan.sent_international}\1", "international"),
    ]
    return _on_sides(OUT, made)


def name_of(plan: Plan) -> str:
    """Return the country as people call it, where that is known; else its two letters."""
    shown = phonenumbers.region_codes_for_country_code(plan.code)
    return f"{plan.region} +{plan.code}" + (f", with {len(shown) - 1} others" if len(shown) > 1 else "")


def _on_sides(sides: tuple[str, ...], made: list[tuple[str, str, str]]) -> list[Rule]:
    return [Rule(side, STEP * place, *each) for side in sides for place, each in enumerate(made, 1)]


def _ways_to_write(known: PhoneMetadata) -> list[NumberFormat]:
    """Return how numbers of a country are written; countries with one calling code share that."""
    main = PhoneMetadata.metadata_for_region(phonenumbers.region_code_for_country_code(known.country_code or 0))
    return list(known.number_format or (main.number_format if main else ()))


def _lines(known: PhoneMetadata) -> list[PhoneNumberDesc]:
    """Return what is known of a country's ordinary numbers, of fixed lines and mobiles."""
    return [kind for kind in (known.fixed_line, known.mobile) if kind is not None and kind.national_number_pattern]


def _general(known: PhoneMetadata) -> PhoneNumberDesc:
    """Return what is known of all numbers of a country."""
    return known.general_desc or PhoneNumberDesc()


def _bare(known: PhoneMetadata) -> tuple[str, ...]:
    """Return the kinds of numbers, as patterns, of which some are written without the trunk prefix."""
    forms, trunk = _ways_to_write(known), known.national_prefix or ""
    found: dict[str, None] = {}
    for kind in _lines(known):
        pattern = kind.national_number_pattern or ""
        if any(_is_bare(forms, trunk, number) for number in (*samples(pattern), kind.example_number or "")):
            found[_ruled(pattern, kind.possible_length or _general(known).possible_length)] = None
    return tuple(found)


def _is_bare(forms: list[NumberFormat], trunk: str, number: str) -> bool:
    for form in forms:
        leading = form.leading_digits_pattern
        if (not leading or re.match(leading[-1], number)) and re.fullmatch(form.pattern or "", number):
            written = re.sub(r"\\[0-9]", "", form.national_prefix_formatting_rule or "")
            return trunk not in written or bool(form.national_prefix_optional_when_formatting)
    return not forms


def _ruled(pattern: str, lengths: tuple[int, ...]) -> str:
    """Return a numbering plan as a rule has it: itself, or of one that is too long how many digits there are."""
    plan = pattern.replace(r"\d", "[0-9]") if len(pattern) <= PATTERN_MAX // 2 else pattern
    if len(plan) <= PATTERN_MAX and not compile_pattern(f"^({plan})$").fault:
        return plan
    return f"[1-9][0-9]{{{min(lengths) - 1},{max(lengths) - 1}}}"


def _unclear(known: PhoneMetadata) -> str:
    """Return what may be a national or local number, where that cannot be told; "" = it can."""
    if known.id not in UNCLEAR:
        return ""
    general = _general(known)
    lengths = {*general.possible_length, *general.possible_length_local_only}
    return f"[1-9][0-9]{{{min(lengths) - 1},{max(lengths) - 1}}}"


def _trunk(prefix: str, parsed: str) -> str:
    """Return the trunk prefix with the choice that people have, if it is a small one."""
    return parsed if prefix and parsed and len(parsed) <= CHOICE_MAX and "(" not in parsed else prefix


def _grouped(pattern: str) -> str:
    """Return a pattern that others may stand beside."""
    return pattern if _DIGITS.fullmatch(pattern) else f"(?:{pattern})"
