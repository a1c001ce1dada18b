"""How rows of a kind are found by their names, through an index.

A name is made of columns (`sub:<username>@<domain>`), so a condition on it looks at every row: 50 ms in 50,000
subscribers. These conditions look at the columns; `name = ANY (…)` beside them makes the answer exact.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString, NamedTuple

from tools.sync.kinds import FUND_TERMS, Kind

BIGINT_MAX: Final = (1 << 63) - 1


class Lookup(NamedTuple):
    """condition: on columns of the view, with a place for each list. columns: the names' parts as those lists."""

    condition: LiteralString
    columns: Callable[[Sequence[str]], tuple[list[Any], ...]]


def lookup(kind: Kind) -> Lookup:
    """Return how rows of a kind are found; a kind of few rows has no condition."""
    return _LOOKUPS.get(kind.view, _EVERY)


def _rest(name: str) -> str:
    return name.partition(":")[2]


def _number(text: str) -> list[int]:
    """Return the number in a list, none where it is no id: nothing in Postgres is called so."""
    return [int(text)] if text.isascii() and text.isdecimal() and int(text) <= BIGINT_MAX else []


def _ids(names: Sequence[str]) -> tuple[list[int]]:
    return ([number for name in names for number in _number(_rest(name))],)


def _owners(names: Sequence[str]) -> tuple[list[int]]:
    return (sorted({number for name in names for number in _number(_rest(name).partition(":")[0])}),)


def _payers(names: Sequence[str]) -> tuple[list[int], list[int], list[int]]:
    """Return the accounts, the lines and the users whose funds these are: `5:EUR`, `line8:`, `user3:`."""
    words = {name.partition(":")[0] for name in names}
    ids = ({number for word in words for number in _number(word.removeprefix(kind))} for kind in ("", "line", "user"))
    accounts, lines, users = map(sorted, ids)
    return accounts, lines, users


def _texts(names: Sequence[str]) -> tuple[list[str]]:
    return ([_rest(name) for name in names],)


def _addresses_of_record(names: Sequence[str]) -> tuple[list[str], list[str]]:
    pairs = [_rest(name).partition("@") for name in names]
    return [user for user, _, _ in pairs], [domain for _, _, domain in pairs]


def _beginnings(names: Sequence[str]) -> tuple[list[str]]:
    """Return every number that one of these begins with: behind a pilot's number stand its extensions."""
    digits = [_rest(name) for name in names]
    return (sorted({each[:length] for each in digits for length in range(1, len(each) + 1)}),)


def _networks(names: Sequence[str]) -> tuple[list[str]]:
    return ([text for name in names if _is_network(text := _rest(name))],)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "%" not in text  # a zone is none in Postgres


_BY_ID: Final = Lookup("v.id = ANY (%s::bigint[])", _ids)
_EVERY: Final = Lookup("true", lambda _: ())
_LOOKUPS: Final = {
    "account": _BY_ID,
    "barring_level": _BY_ID,
    "callflow": _BY_ID,
    "extension": Lookup("v.key_account_id = ANY (%s::bigint[])", _owners),
    "media_server": _BY_ID,
    "peering_group": _BY_ID,
    "rate_set": _BY_ID,
    "rewrite_set": _BY_ID,
    "ring_group": _BY_ID,
    "tariff": _BY_ID,
    "time_set": _BY_ID,
    "user": _BY_ID,
    "number": Lookup("v.key_number = ANY (%s::text[])", _beginnings),
    "ported_number": Lookup("v.digits = ANY (%s::text[])", _texts),
    "sip_domain": Lookup("v.label = ANY (%s::text[])", _texts),
    "subscriber": Lookup(
        "(v.username, v.domain) IN (SELECT * FROM unnest(%s::text[], %s::text[]))", _addresses_of_record
    ),
    "sources": Lookup("v.key_network = ANY (%s::cidr[])", _networks),
    "peering_rules": Lookup("v.key_account_id = ANY (%s::bigint[])", _owners),
    FUND_TERMS: Lookup(
        "(v.key_account_id = ANY (%s::bigint[]) OR v.key_subscriber_id = ANY (%s::bigint[])"
        " OR v.key_user_id = ANY (%s::bigint[]))",
        _payers,
    ),
}
