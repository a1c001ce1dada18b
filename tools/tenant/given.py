"""Passwords that a file gives: judged, hashed, and left out where they are the stored ones.

Rule 1: a password is in no sentence, and its hash is never read: the database says whether it is the stored one.
Rule 2: what a file says without a password keeps the one that is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tools.errors import OperatorError
from tools.session import Connection
from tools.tenant.document import Password
from tools.tenant.faults import Faults
from tools.tenant.passwords import Hashes, checked, hashes
from tools.tenant.world import Address, Current, Row, Stored, Wanted

_IS_STORED: Final = (
    "select tandem.is_password_v1(%s, x.id, x.hash) from unnest(%s::bigint[], %s::text[]) as x(id, hash)"
)
_LOGIN: Final = ("login_username", "login_realm")


class Given(NamedTuple):
    """What is wanted, with hashes for passwords; and what has to be said of rows, in words."""

    wanted: Wanted
    notes: Mapping[Address, str]


class _Asked(NamedTuple):
    """A password that may be the stored one. field: the one that it was given by."""

    at: Address
    field: str
    hashes: Hashes
    row_id: int


def hashed(connection: Connection, wanted: Wanted, current: Current, faults: Faults) -> Given:
    """Return what is wanted without the passwords that are stored already; faulty ones are faults."""
    rows = dict(wanted.rows)
    notes: dict[Address, str] = {}
    asked: list[_Asked] = []
    for at, row in wanted.rows.items():
        stored = current.rows.get(at)
        if at.resource == "subscriber":
            made = _line(row, faults)
            if made is None and stored is None:
                notes[at] = "without a password"
            name = "password"
        elif at.resource == "server":
            rows[at], made, note = _login(row, stored, faults)
            if note:
                notes[at] = note
            name = "login_password"
        else:
            continue
        if made is not None:
            rows[at] = rows[at]._replace(values={**rows[at].values, name: made})
            if stored is not None:
                asked.append(_Asked(at, name, made, stored.primary[0]))
    for same in _stored_already(connection, asked):
        values = {name: value for name, value in rows[same.at].values.items() if name != same.field}
        rows[same.at] = rows[same.at]._replace(values=values)
    return Given(wanted._replace(rows=rows), notes)


def _line(row: Row, faults: Faults) -> Hashes | None:
    """Return the hashes of a line's password; None where none is given."""
    given = row.values.get("password")
    if not isinstance(given, Password):
        return None
    username, domain = row.at.key
    try:
        return hashes(username, domain, checked(given.text, username))
    except OperatorError as error:
        faults.add(row.place, str(error))
        return None


def _login(row: Row, stored: Stored | None, faults: Faults) -> tuple[Row, Hashes | None, str]:
    """Return the row with a login that is whole or left out, the hashes of its password, and a note.

    A login is a user name, a realm and a hash, or nothing: a name without a password cannot be kept.
    """
    before = dict.fromkeys(_LOGIN) if stored is None else {name: stored.values[name] for name in _LOGIN}
    after = {name: row.values.get(name, before[name]) for name in _LOGIN}
    given = row.values.get("login_password")
    if isinstance(given, Password):
        if not all(after.values()):
            faults.add(row.place, "login_password: needs login_username and login_realm beside it")
            return row, None, ""
        return row, hashes(str(after["login_username"]), str(after["login_realm"]), given.text), ""
    if after == before or not any(after.values()):
        return row, None, ""
    if any(before.values()):
        faults.add(row.place, "login_password: is needed for another login_username or login_realm")
        return row, None, ""
    kept = {name: value for name, value in row.values.items() if name not in {*_LOGIN, "login_register_s"}}
    return row._replace(values=kept), None, "without its login: no login_password is given"


def _stored_already(connection: Connection, asked: Sequence[_Asked]) -> Sequence[_Asked]:
    same: list[_Asked] = []
    for kind in ("subscriber", "server"):
        some = [each for each in asked if each.at.resource == kind]
        if some:
            arguments: list[Any] = [kind, [each.row_id for each in some], [each.hashes.md5 for each in some]]
            answers = connection.execute(_IS_STORED, arguments).fetchall()
            same += [each for each, (is_stored,) in zip(some, answers, strict=True) if is_stored]
    return same
