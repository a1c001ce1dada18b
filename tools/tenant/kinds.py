"""The kinds of values that tenants have: text, numbers, times, networks, patterns and lists of them.

Rule: what is refused here names its rule; the constraints of the database say the same and have the last word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import Any, Final
from zoneinfo import ZoneInfo

from kemi.core.pattern import compile_pattern
from kemi.core.refusals import REFUSALS
from tools.account.amounts import MICROS, decimal, exact_micros
from tools.errors import OperatorError
from tools.tenant import week
from tools.tenant.model import FaultError, Kind, Plain

PATTERN_MAX: Final = 256  # characters, as tandem.pattern_fault
GLOBS_MAX: Final = 200  # as tandem.are_number_globs
LABEL_MAX: Final = 64
LANGUAGES: Final = ("en", "fr", "ru")  # those that reports have words in
HOST_MAX: Final = 253
NAME_MAX: Final = 1_000  # of a row, with the path of its owner: 8 accounts of 64 characters, an address

_UNPRINTABLE: Final = frozenset({"Cc", "Zl", "Zp"})  # what [:cntrl:] means to Postgres
_YES: Final = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_DAYS: Final = re.compile(r"((?:20[0-9]{2}-)?[0-9]{2}-[0-9]{2})(?:\.\.((?:20[0-9]{2}-)?[0-9]{2}-[0-9]{2}))?", re.ASCII)
_LANGUAGE: Final = r"([eE][nN]|[fF][rR]|[rR][uU])([-_][A-Za-z]{2})?"
_ZONE: Final = re.compile(r"UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+)+", re.ASCII)


def matching(pattern: str, rule: str, *, longest: int = 1_000) -> Kind:
    """Return the kind of texts that a regular expression fits from end to end."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > longest or compiled.fullmatch(value) is None:
            raise ValueError
        return value

    return Kind(rule, {"type": "string", "pattern": f"^(?:{pattern})$", "maxLength": longest}, check)


def one_of(*words: str) -> Kind:
    """Return the kind of words that are known."""

    def check(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    named = ", ".join(word or "nothing" for word in words)
    return Kind(f"one of {named}", {"enum": list(words)}, check)


def whole(low: int, high: int, unit: str = "") -> Kind:
    """Return the kind of whole numbers within two bounds, both included."""

    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    def parse(text: str) -> Plain:
        return int(text) if _WHOLE.fullmatch(text) else text

    rule = f"a whole number{f' of {unit}' if unit else ''} from {low} to {high}"
    return Kind(rule, {"type": "integer", "minimum": low, "maximum": high}, check, parse=parse)


def several(item: Kind, rule: str, most: int = GLOBS_MAX) -> Kind:
    """Return the kind of lists of distinct items; typed with commas between them."""

    def check(value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise ValueError
        found = [item.check(each) for each in value]
        if len(set(found)) != len(found):
            raise FaultError("names something twice")
        return found

    schema = {"type": "array", "items": dict(item.schema), "uniqueItems": True, "maxItems": most}
    return Kind(rule, schema, check, list, lambda text: [each.strip() for each in text.split(",")])


def money(low: int, high: int, rule: str) -> Kind:
    """Return the kind of decimal amounts within two bounds in micros, both included."""

    def check(value: Any) -> int:
        try:
            found = exact_micros(str(value), "amount") if isinstance(value, str | int) else high + 1
        except OperatorError as error:
            raise ValueError from error
        if isinstance(value, bool) or not low <= found <= high:
            raise ValueError
        return found

    pattern = r"^-?[0-9]+(\.[0-9]{1,6})?$"
    return Kind(rule, {"type": ["string", "integer"], "pattern": pattern}, check, lambda stored: decimal(stored, 0))


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004  every refusal of a kind is a ValueError
    return value


def _free(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError
    return value


def _label(value: Any) -> str:
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= LABEL_MAX
        or value != value.strip(" ")
        or any(unicodedata.category(each) in _UNPRINTABLE for each in value)
    ):
        raise ValueError
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_MAX or not value.isprintable():
        raise ValueError
    return value


def _pattern(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    if len(value) > PATTERN_MAX:
        raise FaultError(f"has {len(value)} characters, at most {PATTERN_MAX} are allowed")
    if fault := compile_pattern(value).fault:
        raise FaultError(f"cannot be used: {fault}")
    return value


def _pattern_or_none(value: Any) -> str:
    return value if value == "" else _pattern(value)


def _timezone(value: Any) -> str:
    if not isinstance(value, str) or not _ZONE.fullmatch(value):
        raise ValueError
    try:
        ZoneInfo(value)
    except (KeyError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError; a folder's name is an OSError
        raise ValueError from error
    return value


def _language(value: Any) -> str:
    """Return a language as it is stored: fr of FR, fr-CA of fr_ca."""
    if not isinstance(value, str) or re.fullmatch(_LANGUAGE, value) is None:
        raise ValueError
    code, _, region = value.replace("_", "-").partition("-")
    return f"{code.lower()}-{region.upper()}" if region else code.lower()


def _network(value: Any) -> str:
    network = ip_network(str(value), strict=False)
    if str(ip_interface(str(value)).ip) != str(network.network_address):
        raise FaultError(f"has bits outside of its mask; is {network} meant?")
    if network.prefixlen < (8 if network.version == 4 else 16) or _holds_ipv4(network):  # noqa: PLR2004  IP's version
        raise FaultError("is too wide, or no plain network, to identify somebody: /8 or longer, IPv6 /16")
    return str(network)


def _any_network(value: Any) -> str:
    return str(ip_network(str(value)))


def _holds_ipv4(network: IPv4Network | IPv6Network) -> bool:
    """Whether it is IPv4 written inside IPv6, as tandem.is_source_network refuses it."""
    inside = ip_network("::/80")
    return isinstance(network, IPv6Network) and network.subnet_of(inside) and str(network) != "::1/128"  # type: ignore[arg-type]


def _address(value: Any) -> str:
    address = ip_address(str(value))
    _network(f"{address}")
    return str(address)


def _moment(value: Any) -> str:
    found = datetime.fromisoformat(value) if isinstance(value, str) else None
    if found is None or found.tzinfo is None:
        raise ValueError
    return found.astimezone(UTC).isoformat(timespec="seconds" if not found.microsecond else "auto")


def _as_moment(stored: Any) -> Plain:
    return stored if isinstance(stored, str) else _moment(stored.isoformat())


def _spans(value: Any) -> list[list[int]]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError
    try:
        return [list(part) for part in week.merged(part for each in value for part in week.parts_of(each))]
    except FaultError:
        raise
    except ValueError as error:
        raise ValueError from error


def _as_spans(stored: Any) -> Plain:
    return week.shown((first, last) for first, last in stored)


def _days(value: Any) -> list[tuple[int, int]]:
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004  every refusal of a kind is a ValueError
    return sorted({_range_of_days(each) for each in value})


def _range_of_days(value: Any) -> tuple[int, int]:
    """Return first and last day as mmdd or yyyymmdd. Raises ValueError."""
    match = _DAYS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    return _day(match[1]), _day(match[2] or match[1])


def _day(text: str) -> int:
    date.fromisoformat(text if len(text) > len("12-24") else f"2000-{text}")  # a leap year, as tandem.is_day
    return int(text.replace("-", ""))


def _as_days(stored: Any) -> Plain:
    return [_day_text(first) + (f"..{_day_text(last)}" if last != first else "") for first, last in sorted(stored)]


def _day_text(day: int) -> str:
    digits = f"{day:04}" if day < 10_000 else str(day)  # noqa: PLR2004  mmdd, yyyymmdd
    return f"{digits[:-4]}-{digits[-4:-2]}-{digits[-2:]}".removeprefix("-")


def _as_text(stored: Any) -> Plain:
    return str(stored)


def _yes_or_no(text: str) -> Plain:
    return _YES.get(text.lower(), text)


def _kind(rule: str, check: Callable[[Any], Any], **schema: Any) -> Kind:
    return Kind(rule, {"type": "string", **schema}, check)


YES_NO: Final = Kind("yes or no", {"type": "boolean"}, _bool, parse=_yes_or_no)
FREE: Final = _kind("text", _free)
LABEL: Final = _kind(f"a name of 1 to {LABEL_MAX} printable characters without blanks at its ends", _label,
                     minLength=1, maxLength=LABEL_MAX)  # fmt: skip
NAMED: Final = _kind("the name or id of what is there", _name, minLength=1, maxLength=NAME_MAX)
PATTERN: Final = _kind("a regular expression", _pattern, minLength=1, maxLength=PATTERN_MAX)
PATTERN_OR_ANY: Final = _kind("a regular expression", _pattern_or_none, maxLength=PATTERN_MAX)
TIMEZONE: Final = _kind("a name of the time zone database, such as Europe/London", _timezone)
NETWORK: Final = Kind("a network such as 192.0.2.0/24", {"type": "string"}, _network, _as_text)
ADDRESS: Final = Kind("an IP address", {"type": "string"}, _address, _as_text)
NETWORKS: Final = several(
    Kind("", {"type": "string"}, _any_network, _as_text), "a list of up to 64 networks such as 192.0.2.0/24", most=64
)._replace(plain=lambda stored: [str(each) for each in stored])
EMAIL: Final = matching(r"[^@\s]{1,64}@[^@\s]{1,189}", "an e-mail address", longest=254)
LANGUAGE: Final = Kind(
    f"one of {', '.join(LANGUAGES)}, with or without a region: fr-CA",
    {"type": "string", "pattern": f"^{_LANGUAGE}$", "examples": list(LANGUAGES)},
    _language,
)
CURRENCY: Final = matching(r"[A-Z]{3}", "a currency such as EUR", longest=3)
DOMAIN: Final = matching(
    r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+",
    "a lower-case DNS name such as sip.example.com",
    longest=HOST_MAX,
)
HOST: Final = matching(
    r"([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
    "a lower-case DNS name such as sip.carrier.example",
    longest=HOST_MAX,
)
URI_HOST: Final = matching(r"([a-z0-9.-]+|\[[0-9a-f:.]+\])?", "a host of a URI", longest=HOST_MAX)
SOCKET: Final = matching(
    r"((udp|tcp|tls):([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]{2,45}\]):[1-9][0-9]{0,4})?",
    "a local socket such as udp:192.0.2.1:5060",
)
USERNAME: Final = matching(r"[A-Za-z0-9._+-]{1,64}", "1 to 64 letters, digits or . _ + -", longest=64)
USER_PART: Final = matching(r"[A-Za-z0-9._+-]{0,64}", "up to 64 letters, digits or . _ + -", longest=64)
MEDIA_USER: Final = matching(r"[A-Za-z0-9._+*-]{1,64}", "1 to 64 letters, digits or . _ + * -", longest=64)
REGION: Final = matching(r"[A-Za-z0-9._-]{0,32}", "a word of up to 32 letters, digits or . _ -", longest=32)
PHRASE: Final = matching(r"[ -~]{1,64}", "1 to 64 printable ASCII characters", longest=64)
DESCRIPTION: Final = matching(
    r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,200}", "up to 200 printable characters", longest=200
)
REPLACEMENT: Final = matching(
    r"([0-9A-Za-z+*#._-]|\\[1-9]){0,64}", r"up to 64 characters that can be dialled, and groups \1 to \9"
)
REASON: Final = one_of(*sorted(REFUSALS))
E164: Final = matching(
    r"[1-9][0-9]{2,14}", "a number of 3 to 15 digits that does not begin with 0", longest=15
)._replace(parse=lambda text: text.removeprefix("+"))
PREFIX_OR_ANY: Final = matching(r"([1-9][0-9]{0,14})?", "the beginning of a number, up to 15 digits", longest=15)
PREFIXES: Final = several(
    matching(r"[1-9][0-9]{0,14}", "", longest=15), "a list of beginnings of numbers, 1 to 15 digits each", most=10_000
)
_GLOB: Final = r"([0-9*?]|\[!?[0-9-]+\]){1,32}"
GLOBS: Final = several(matching(_GLOB, ""), "a list of up to 200 numbers with * ? [0-9] for digits")
CALLER_GLOBS: Final = several(
    matching(rf"anonymous|{_GLOB}", ""), "a list of up to 200 numbers with * ? [0-9] for digits, or anonymous"
)
OWN_GLOBS: Final = several(
    matching(r"([0-9*?]|\[[0-9-]+\]){1,32}", ""), "a list of numbers with * ? [0-9] for digits", most=10_000
)
MOMENT: Final = Kind("a time with its offset, such as 2026-11-01T08:30+01:00", {"type": "string"}, _moment, _as_moment)
SPANS: Final = Kind(
    "a list of parts of the week such as Mon-Fri 08:00-18:00",
    {"type": "array", "items": {"type": "string"}},
    _spans,
    _as_spans,
    lambda text: [each.strip() for each in text.split(",")],
)
DAYS: Final = Kind(
    "a list of days such as 12-24..01-06 (each year) or 2026-05-01",
    {"type": "array", "items": {"type": "string"}},
    _days,
    _as_days,
    lambda text: [each.strip() for each in text.split(",")],
)
LEAST_UNIT: Final = money(1, MICROS, "an amount from 0.000001 to 1")
