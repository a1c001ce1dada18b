"""Rows of tenants by what they are called: what a file wants and what a database has, in one form. No database here.

Rule 1: a row is known by its address: the resource, whose it is, and its key. Ids are the database's own business.
Rule 2: a value is plain (see model.py), a price list, a secret, or a target: the row that a reference names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tools.tenant.faults import Place

Path = tuple[str, ...]  # names of accounts from the described one on down; () = where global things stand


class Address(NamedTuple):
    """What a row is known by. scope: path of its account, address of its parent row, or () where its key is global.

    key: the plain values of the resource's key fields; a key that may be absent is None then.
    """

    resource: str
    scope: Path | Address
    key: tuple[Any, ...]


class Outside(NamedTuple):
    """A row that is not described, such as one of an account above."""

    resource: str
    id: int


class Named(NamedTuple):
    """A row that a file names, before anybody has looked for it."""

    resource: str
    text: str


Target = Address | Outside


class Row(NamedTuple):
    """A row as it is wanted: values are the fields that are said. place: where it is said.

    under: in whose list it stands: the path of its account, or the address of its parent row.
    """

    at: Address
    under: Path | Address
    owner: Path
    values: Mapping[str, Any]
    place: Place


class Stored(NamedTuple):
    """A row as it is in the database: all fields. primary: values of its primary key.

    elsewhere: name of its account where that is not a described one; under and owner say nothing then.
    """

    at: Address
    under: Path | Address
    owner: Path
    values: Mapping[str, Any]
    primary: tuple[Any, ...]
    elsewhere: str = ""


class Wanted(NamedTuple):
    """A file. sections: (resource, under) of the lists that it says; what is not in such a list is not wanted.

    A list that is not said is not described: nothing in it is taken away.
    """

    rows: Mapping[Address, Row]
    sections: frozenset[tuple[str, Path | Address]]


class Current(NamedTuple):
    """A tenant in the database, and what elsewhere has a name that a file wants."""

    rows: Mapping[Address, Stored]
