"""`tandem audit`: who changed what, when, from what to what, as far as the acting account may know.

Rule: what is read here was written by triggers of the database and is never changed; secrets were never in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import typer
from psycopg import sql
from psycopg.rows import class_row

from tools.account.amounts import decimal
from tools.account.find import find
from tools.account.options import As, DatabaseUrl, Json
from tools.account.tables import show_table
from tools.account.times import begin_option, between, end_option
from tools.errors import OperatorError
from tools.session import Connection, Session, find_account, session, shown
from tools.tenant.catalogue import resource
from tools.tenant.completion import asked, rows
from tools.tenant.naming import paths

VALUE_MAX: Final = 60
SECRET_SET: Final = "password set"  # noqa: S105  all that is said of columns that are secret
LATEST: Final = 2**63 - 1
# What tells people a row that came or went, the first that it has.
_NAMES: Final = ("name", "username", "e164", "email", "right_name", "reason", "network", "pattern", "prefix", "code")

# What tells people a row by its own columns, whatever happened to it.
_CALLED: Final = ("name", "username", "e164", "email")
# What people call a row by where it has no name of its own: the columns that tell it among those of its owner.
_PARTS: Final = MappingProxyType(
    {
        "callflow_step": ("position", "kind"),
        "extension": ("dialled",),
        "forward": ("kind", "priority"),
        "ring_group_member": ("position",),
        "trunk_place": ("address", "port", "transport"),
    }
)
_UNSAID: Final = frozenset({"id", "account_id", "created_at"})
_DOMAINS: Final = "select d.id, d.name from tandem.sip_domain d where d.id = any (%s)"

Of = Annotated[
    str,
    typer.Option(
        "--account",
        metavar="ACCOUNT",
        help="Only this account's; default: all that are seen.",
        autocompletion=rows(resource("account")),
    ),
]
Subtree = Annotated[bool, typer.Option("--subtree", help="Also of the accounts below it that are seen.")]
Since = Annotated[str, begin_option("--since")]
Until = Annotated[str, end_option("--until")]
Table = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Only changes of this table, such as subscriber.",
        autocompletion=asked(lambda connection, _: _tables(connection)),
    ),
]
Key = Annotated[str, typer.Option(help="Only the row with this key, as a line before shows it; needs --table.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Only what this person or tool did.")]
Before = Annotated[int, typer.Option(help="Go on where a page before ended, as that page says.", show_default=False)]
Most = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many, the newest.")]

# The view asks for each row who may know of its actor; the root knows all.
_SOURCES: Final = {True: sql.SQL("tandem.audit"), False: sql.SQL("tandem.audit_record")}
_AUDIT: Final = sql.SQL("""
select r.id, r.at, r.actor, r.acting_account_id, r.account_id,
       coalesce(a.name, '') as account, r.table_name, r.key, r.action, r.changed,
       r.before, r.after
  from {} r left join tandem.account a on a.id = r.account_id
 where r.id < %(before)s
   and (%(accounts)s::bigint[] is null or r.account_id = any (%(accounts)s))
   and (%(since)s::timestamptz is null or r.at >= %(since)s) and (%(until)s::timestamptz is null or r.at < %(until)s)
   and (%(table)s = '' or r.table_name = %(table)s) and (%(key)s = '' or r.key = %(key)s)
   and (%(by)s = '' or r.actor = %(by)s)
 order by r.id desc limit %(limit)s
""")
_AUDITED: Final = """
select c.relname from pg_trigger t join pg_class c on c.oid = t.tgrelid
 where t.tgname = 'audit_delete' and c.relnamespace = 'tandem'::regnamespace order by 1
"""
_NAMED: Final = "select a.id, a.name from tandem.account a where a.id = any (%s)"
_BELOW: Final = """
with recursive below as (
  select %s::bigint as id union all select a.id from tandem.account a join below on a.parent_id = below.id
)
select array_agg(id) from below
"""


class Entry(NamedTuple):
    """A change. actor: "" where they acted for an account that is not seen. account_id None: the platform's own.

    acting_account_id, acting, acting_path: for which account they acted, its name and its path as far as it is seen;
    None, "" where that one is not seen; "" where it is gone.
    before, after: the row without its secrets; None where there was none.
    """

    id: int
    at: datetime
    actor: str
    acting_account_id: int | None
    account_id: int | None
    account: str
    table_name: str
    key: str
    action: str
    changed: list[str]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    acting: str = ""
    acting_path: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as programs read it."""
        return {
            "id": self.id,
            "at": self.at.isoformat(timespec="milliseconds"),
            "actor": self.actor,
            "acting": self.acting_account_id,
            "acting_name": self.acting,
            "acting_path": self.acting_path,
            "account": self.account_id,
            "name": self.account,
            "table": self.table_name,
            "key": self.key,
            "action": self.action,
            "changed": self.changed,
            "before": self.before,
            "after": self.after,
        }

    def what(self) -> str:
        """Return the change in words: old → new of each column, or what the row is called."""
        if self.action == "update" and self.before is not None and self.after is not None:
            open_ones = [name for name in self.changed if name in self.before or name in self.after]
            said = [self._change(name) for name in open_ones]
            return "; ".join([*said, SECRET_SET] if len(open_ones) < len(self.changed) else said)
        if parts := _PARTS.get(self.table_name):
            values = self._values
            told = [name for name, value in values.items() if value and name not in parts and name not in _UNSAID]
            told.sort(key=lambda name: (not name.endswith("_id"), name))
            return "; ".join(f"{_said(name)}: {_short(_plain(name, values[name]))}" for name in told)
        return next((_short(self._values[name]) for name in _NAMES if self._values.get(name)), "")

    @property
    def domain_id(self) -> int:
        """Return the SIP domain that the row names; 0 = none."""
        return int(self._values.get("sip_domain_id") or 0)

    @property
    def _values(self) -> dict[str, Any]:
        return self.after or self.before or {}

    def row(self, domains: Mapping[int, str]) -> str:
        """Return what was changed: its table, what it is called, and its key. domains: id -> name, as far as seen."""
        values = self._values
        parts = _PARTS.get(self.table_name, ())
        called = "/".join(str(values[name]) for name in parts if values.get(name)) or next(
            (str(values[name]) for name in _CALLED if values.get(name)), ""
        )
        if domain := domains.get(self.domain_id):
            called = f"{called}@{domain}"
        return f"{self.table_name} {f'{_short(called)} ({self.key})' if called and called != self.key else self.key}"

    def _change(self, name: str) -> str:
        old, new = self.before or {}, self.after or {}
        return f"{_said(name)}: {_short(_plain(name, old.get(name)))} → {_short(_plain(name, new.get(name)))}"


def audit(  # noqa: PLR0913  one parameter per option
    database_url: DatabaseUrl, *,
    account: Of = "", subtree: Subtree = False, since: Since = "", until: Until = "", table: Table = "", key: Key = "",
    by: By = "", before: Before = LATEST, limit: Most = 100, as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Show changes of configuration, newest first: of the acting account and of all accounts that it sees.

    Who did it is shown as far as they acted for an account that is seen too.
    """
    if key and not table:
        raise OperatorError("key: is a key of which table? say --table")
    with session(database_url, as_account=as_account, program="tandem audit") as own:
        zone = find(own.connection, str(own.account_id)).zone
        if table:
            _insist_on_table(own.connection, table)
        found = own.connection.cursor(row_factory=class_row(Entry)).execute(
            _AUDIT.format(_SOURCES[own.is_root]),
            {
                "accounts": _accounts(own, account, subtree=subtree),
                **_times(since, until, zone),
                "table": table,
                "key": key,
                "by": by,
                "before": before,
                "limit": limit + 1,
            },
        ).fetchall()  # fmt: skip
        found = _with_acting(own.connection, found)
        ids = sorted({each.domain_id for each in found} - {0})
        domains: dict[int, str] = dict(own.connection.execute(_DOMAINS, (ids,)).fetchall())
    page, after = found[:limit], found[limit - 1].id if len(found) > limit else None
    if as_json:
        typer.echo(json.dumps({"changes": [each.as_dict() for each in page], "before": after}))
        return
    _show(page, zone, domains)
    if after:
        typer.echo(f"older ones: --before {after}")


def _with_acting(connection: Connection, found: Sequence[Entry]) -> list[Entry]:
    """Return the changes with what the accounts are called that were acted for, as far as they are seen."""
    ids = {each.acting_account_id for each in found if each.acting_account_id is not None}
    called: dict[int, str] = dict(connection.execute(_NAMED, (sorted(ids),)).fetchall())
    seen = paths(connection, ids)
    return [
        each._replace(acting=called.get(key, ""), acting_path=seen.get(key, ""))
        for each in found
        for key in [each.acting_account_id or 0]
    ]


def _accounts(own: Session, who: str, *, subtree: bool) -> list[int] | None:
    """Return whose changes are meant; None: of all that are seen, which stand below who acts."""
    found = find_account(own.connection, who).id if who else own.account_id
    if not who or (subtree and found == own.account_id):
        return None
    return list(own.connection.execute(_BELOW, (found,)).fetchall()[0][0]) if subtree else [found]


def _times(since: str, until: str, zone: ZoneInfo) -> dict[str, datetime | None]:
    begin, end = between(since, until, zone, ("since", "until"))
    return {"since": begin, "until": end}


def _tables(connection: Connection) -> list[str]:
    """Return the tables whose changes are noted."""
    return [row[0] for row in connection.execute(_AUDITED).fetchall()]


def _insist_on_table(connection: Connection, name: str) -> None:
    tables = _tables(connection)
    if name not in tables:
        raise OperatorError(f"table: {shown(name)} is not one of {', '.join(tables)}")


def _show(page: list[Entry], zone: ZoneInfo, domains: Mapping[int, str]) -> None:
    columns = {"at": f"at ({zone})", "actor": "by"}
    columns |= {"acting": "for"} if any(each.acting for each in page) else {}
    columns |= {"account": "account", "row": "row", "action": "did", "what": "what"}
    lines = [
        {
            "at": each.at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"),
            "actor": each.actor,
            "acting": each.acting_path,
            "account": f"{each.account_id} {each.account}" if each.account_id else "",
            "row": each.row(domains),
            "action": each.action,
            "what": each.what(),
        }
        for each in page
    ]
    show_table(columns, lines)


def _said(column: str) -> str:
    """Return what people call a column: neither ids nor micros are theirs."""
    return column.removesuffix("_id").removesuffix("_micros")


def _plain(column: str, value: object) -> object:
    """Return a value of a column as people write it: an amount, or an id that says that it is one."""
    if not isinstance(value, int):
        return value
    return decimal(value) if column.endswith("_micros") else f"#{value}" if column.endswith("_id") else value


def _short(value: object) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_MAX else f"{text[:VALUE_MAX]}…"
