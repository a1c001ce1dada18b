"""One connection and one transaction for whoever acts, and the one way in which it says what the database refuses.

Rule 1: the root acts as tandem_tool; every other account acts as tandem_tenant, whose rows the policies choose.
Rule 2: no sentence tells of what the acting account does not see: what is taken by somebody else is "not available",
what is not visible "does not exist", in the words for what is not there.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from tools.database_url import checked
from tools.errors import OperatorError

Connection = psycopg.Connection[TupleRow]

SHOWN_MAX: Final = 60  # characters of a value in a sentence
NAMESAKES_SHOWN: Final = 5
LOCK_WAIT: Final = "10s"  # for what somebody else is changing

_BOUND_WAIT: Final = f"set local lock_timeout = '{LOCK_WAIT}'"

_BLANK: Final = re.compile(r"_(?!s(?:_|$))|(?<=[0-9])_")
_DENIED: Final = "42501"
_POSTGRES_SAYS: Final = ("permission denied", "new row violates row-level security")
_OBJECT: Final = re.compile(r"\bfor (?:table|view|function|sequence|schema) \"?(\w+)")

# The last name of a path first; a path may begin anywhere, so it is unique or refused.
_BY_PATH: Final = """
with recursive up as (
  select a.id, a.parent_id, 1 as used from tandem.account a where a.name = (%(names)s::text[])[1]
  union all
  select up.id, p.parent_id, up.used + 1
    from up join tandem.account p on p.id = up.parent_id and p.name = (%(names)s::text[])[up.used + 1]
)
select a.id, a.name, a.parent_id, p.name
  from up join tandem.account a on a.id = up.id left join tandem.account p on p.id = a.parent_id
 where up.used = cardinality(%(names)s::text[]) order by a.id limit %(most)s
"""
_BY_ID: Final = """
select a.id, a.name, a.parent_id, p.name
  from tandem.account a left join tandem.account p on p.id = a.parent_id where a.id = %s
"""
_ROOT: Final = "select a.id, a.name, a.parent_id, null from tandem.account a where a.kind = 'root'"


class Found(NamedTuple):
    """An account as it is named. parent_id None: the root. parent: "" where there is none, or none that is seen."""

    id: int
    name: str
    parent_id: int | None
    parent: str

    @property
    def is_root(self) -> bool:
        """Whether it is the platform itself."""
        return self.parent_id is None


class Session(NamedTuple):
    """A transaction in the name of an account. actor: the person or tool, as the audit names it."""

    connection: Connection
    account_id: int
    name: str
    is_root: bool
    actor: str


@contextmanager
def session(database_url: str, *, as_account: str = "", actor: str = "", program: str = "tandem") -> Iterator[Session]:
    """Connect, act as an account, commit at the end; an exception undoes everything.

    as_account: id, name or path (Root/North/Alpha); "" = the root. actor: "" = the login name.
    Raise psycopg.Rollback inside to leave without a trace and without an error.
    Raises OperatorError for what the database refuses, also at commit.
    """
    is_root = False
    try:
        with (
            psycopg.connect(
                checked(database_url), autocommit=True, connect_timeout=10, application_name=program
            ) as connection,
            connection.transaction(),
        ):
            connection.execute(_BOUND_WAIT)
            connection.execute("set local role tandem_tool")
            found = _acting(connection, as_account)
            is_root = found.is_root
            name = actor or getpass.getuser()
            connection.execute("select tandem.act_as_v1(%s, %s)", (found.id, name))
            if not is_root:
                connection.execute("set local role tandem_tenant")
            yield Session(connection, found.id, found.name, is_root, name)
    except psycopg.Error as error:
        raise refusal(error, is_root=is_root) from error


def find_account(connection: Connection, who: str, field: str = "account") -> Found:
    """Return the one account that the acting account sees by this id (5 or #5), name or path, such as North/Alpha.

    What may be a path is one, as soon as its beginning names an account: some have names with a / from former releases.
    Raises OperatorError when there is none, or several.
    """
    digits = who.removeprefix("#")
    if digits.isascii() and digits.isdecimal():
        rows = connection.execute(_BY_ID, (int(digits[:19]),)).fetchall()
    else:
        rows = _by_path(connection, who.split("/"))
        if not rows and "/" in who and not begins_path(connection, who):
            rows = _by_path(connection, [who])
    found = [Found(key, name, parent_id, parent or "") for key, name, parent_id, parent in rows]
    if not found:
        raise not_there(field, who)
    if len(found) > 1:
        ids = ", ".join(f"{each.id} below {each.parent}" for each in found[:NAMESAKES_SHOWN])
        more = ", …" if len(found) > NAMESAKES_SHOWN else ""
        raise OperatorError(f"{field}: several are called {shown(who)}, give the id or a path: {ids}{more}")
    return found[0]


def begins_path(connection: Connection, text: str) -> bool:
    """Return whether what stands before the first / of a text is the name of an account that the acting one sees."""
    first, slash, _ = text.partition("/")
    return bool(slash) and bool(_by_path(connection, [first]))


def not_there(field: str, who: str) -> OperatorError:
    """Return the error of a name that names nothing the acting account sees."""
    return OperatorError(f"{field}: {shown(who)} does not exist")


def shown(text: str) -> str:
    """Return a typed value as a sentence has it: quoted, never long."""
    return repr(text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…")


def refusal(error: psycopg.Error, *, is_root: bool) -> OperatorError:
    """Return what the database refused as one sentence. is_root: whether it may tell of other accounts' rows."""
    said = error.diag.message_primary or str(error).strip()
    if isinstance(error, psycopg.OperationalError) and (why := _in_the_way(error, said)):
        return OperatorError(why)
    table = words(error.diag.table_name or "")
    rule = words(error.diag.constraint_name or "")
    if error.sqlstate == _DENIED:
        return OperatorError(_denied(said))
    if isinstance(error, psycopg.errors.UniqueViolation) and (rule or not is_root):
        return OperatorError(f"{table or 'refused'}: not available{f'; the rule is: {rule}' if rule else ''}")
    if isinstance(error, psycopg.errors.ForeignKeyViolation) and rule:
        if said.startswith("update or delete"):
            return OperatorError(f"refused: it is still in use by {one(table)}")
        return OperatorError(f"{table}: what it names does not exist")
    return OperatorError(f"refused: {rule}" if rule else said)


def _in_the_way(error: psycopg.OperationalError, said: str) -> str:
    """Return the sentence for a database that is away, or for somebody who holds what is waited for; "" for neither."""
    if isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
        return "somebody else is changing what this is about; nothing is changed: run it again"
    return "" if error.sqlstate else f"DATABASE_URL leads to no database: {said}"


def words(name: str) -> str:
    """Return the name of a table or a constraint as people read it; of after_s, ring_s the s stays where it is."""
    return _BLANK.sub(" ", name)


def one(noun: str) -> str:
    """Return a noun with its article."""
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


def _denied(said: str) -> str:
    """Return the sentence for what the acting account may not do; what our own triggers say is one already."""
    named = _OBJECT.search(said) if said.startswith(_POSTGRES_SAYS) else None
    return f"{words(named[1])}: not yours to change" if named else said


def _acting(connection: Connection, who: str) -> Found:
    """Return the acting account. Raises OperatorError, also for a database without any account."""
    if who:
        return find_account(connection, who, "--as")
    row = connection.execute(_ROOT).fetchone()
    if row is None:
        raise OperatorError("account: the database has no root yet; nobody can act")
    return Found(row[0], row[1], row[2], "")


def _by_path(connection: Connection, names: Sequence[str]) -> list[Any]:
    arguments = {"names": list(reversed(names)), "most": NAMESAKES_SHOWN + 1}
    return connection.execute(_BY_PATH, arguments).fetchall()
