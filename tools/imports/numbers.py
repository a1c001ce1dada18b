"""`tandem import numbers`: the numbers of an account, and which line each of them reaches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tools.imports import changes, words
from tools.imports.changes import Statements, Target
from tools.imports.codes import Dialling, codes
from tools.imports.faults import Faults, noted
from tools.imports.outcome import Manner, refuse
from tools.imports.progress import steps
from tools.imports.run import Source, Who
from tools.imports.source import Row, rows, survey
from tools.imports.table import CellError, Kind, Table, opened, read
from tools.session import Connection, find_account, session

KIND: Final = Kind(words.NUMBERS, needs=(("number",),))
STATUSES: Final = ("active", "suspended", "closed")
DIGITS_MIN: Final = 3  # number_is_e164_digits
_BEFORE: Final = "select count(*) from tandem.number where account_id = %s"
_TABLE: Final = """
line integer not null, e164 text not null, address text, status text, removed boolean not null, subscriber_id bigint
"""
_COLUMNS: Final = "line, e164, address, status, removed"
STATEMENTS: Final = Statements(
    prepare=(
        """
        update pg_temp.import_line l set subscriber_id = s.id
          from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
         where s.account_id = %(id)s and l.address <> '' and s.username || '@' || d.name = l.address
        """,
    ),
    told_off=(
        """
        select line, 'line', address, 'is no line of ' || %(name)s
          from pg_temp.import_line where address <> '' and subscriber_id is null order by line
        """,
        """
        select max(line), 'number', e164, format('line %%s says something else of this number', min(line))
          from pg_temp.import_line group by e164
        having count(distinct (coalesce(address, ''), coalesce(status, ''), removed)) > 1 order by 1
        """,
    ),
    changes=(
        """
        delete from pg_temp.import_line l
         using (select e164, min(ctid) as first from pg_temp.import_line group by e164) as r
         where r.e164 = l.e164 and l.ctid <> r.first
        """,
        """
        insert into pg_temp.import_change(key, before)
        select n.id, to_jsonb(n) from tandem.number n join pg_temp.import_line l on l.e164 = n.e164
         where n.account_id = %(id)s and not l.removed
           and (n.subscriber_id, n.status) is distinct from
               (case when l.address is null then n.subscriber_id else l.subscriber_id end, coalesce(l.status, n.status))
        """,
        """
        update tandem.number n
           set subscriber_id = case when l.address is null then n.subscriber_id else l.subscriber_id end,
               user_id = case when l.subscriber_id is null then n.user_id end,
               ring_group_id = case when l.subscriber_id is null then n.ring_group_id end,
               callflow_id = case when l.subscriber_id is null then n.callflow_id end,
               media_server_id = case when l.subscriber_id is null then n.media_server_id end,
               media_user = case when l.subscriber_id is null then n.media_user end,
               status = coalesce(l.status, n.status)
          from pg_temp.import_line l
         where l.e164 = n.e164 and n.account_id = %(id)s and n.id in (select key from pg_temp.import_change)
        """,
        """
        update pg_temp.import_change c set after = to_jsonb(n) from tandem.number n where n.id = c.key
        """,
        """
        insert into pg_temp.import_change(key, before)
        select n.id, to_jsonb(n) from tandem.number n left join pg_temp.import_line l on l.e164 = n.e164
         where n.account_id = %(id)s and coalesce(l.removed, %(is_full)s)
        """,
        """
        delete from tandem.number n using pg_temp.import_change c where n.id = c.key and c.after is null
        """,
        """
        with made as (
          insert into tandem.number(account_id, e164, subscriber_id, status)
          select %(id)s, l.e164, l.subscriber_id, coalesce(l.status, 'active')
            from pg_temp.import_line l
           where not l.removed
             and not exists (select from tandem.number n where n.e164 = l.e164 and n.account_id = %(id)s)
          on conflict do nothing
          returning *
        )
        insert into pg_temp.import_change(key, after) select m.id, to_jsonb(m) from made m
        """,
    ),
    left_over=(
        """
        select l.line, 'number', l.e164, 'is not available' from pg_temp.import_line l
         where not l.removed
           and not exists (select from tandem.number n where n.e164 = l.e164 and n.account_id = %(id)s) order by l.line
        """,
    ),
)  # fmt: skip


class Options(NamedTuple):
    """Options of a list of numbers. account: "" = the acting one. line: of rows that name none, "" = none."""

    account: str
    line: str
    is_full: bool
    removed_pct: int
    dialling: Dialling


def import_numbers(who: Who, source: Source, options: Options, manner: Manner) -> None:
    """Import numbers. Raises OperatorError; nothing has changed then."""
    file = survey(source.path, source.encoding)
    with session(who.database_url, as_account=who.as_account, actor=who.actor, program="tandem import") as acting:
        connection = acting.connection
        target = _target(connection, options.account or str(acting.account_id))
        parameters = {"id": target.id, "name": target.name, "is_full": options.is_full}
        with noted(source.errors) as faults, steps(shown=not manner.as_json) as step:
            step.begin("reading", file.size)
            table = opened(rows(file, source.delimiter, faults, step.reach), KIND, source.layout)
            reader = NumberRows(table, options, faults)
            changes.stage(connection, _TABLE, _COLUMNS, reader)
            step.begin("comparing")
            changes.run(connection, STATEMENTS.prepare, parameters)
            changes.ask(connection, STATEMENTS.told_off, parameters, table.columns, faults)
            refuse(faults, file, manner, str(source.errors or ""))
            step.begin("writing")
            changes.run(connection, STATEMENTS.changes, parameters)
            changes.ask(connection, STATEMENTS.left_over, parameters, table.columns, faults)
            refuse(faults, file, manner, str(source.errors or ""))
        summary = {"lines": reader.lines, "full": options.is_full, **changes.counts(connection)}
        changes.finish(connection, target, file, summary, options.removed_pct, manner)


def _target(connection: Connection, who: str) -> Target:
    """Return the account. Raises OperatorError where there is none."""
    found = find_account(connection, who, "--account")
    ((before,),) = connection.execute(_BEFORE, (found.id,)).fetchall()
    return Target("numbers", found.id, found.name, found.id, f"account {found.id} {found.name}", before)


class NumberRows:
    """Reads the rows of a list of numbers, one for each number."""

    def __init__(self, table: Table, options: Options, faults: Faults) -> None:
        self.lines = 0
        self._table = table
        self._dialling = options.dialling
        self._line = options.line
        self._faults = faults

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        """Yield what is staged; rows that are wrong become faults."""
        for row in self._table.rows:
            self.lines += 1
            try:
                rest = self._rest(row)
                text = "".join(self._table.cell(row, "number").split())
                for number in read("number", text, lambda cell: codes(cell, "", self._dialling)):
                    yield row.line, number, *rest
            except CellError as error:
                name = self._table.columns.name(error.field) if error.field else ""
                self._faults.add(row.line, name, error.value, error.rule)

    def _rest(self, row: Row) -> tuple[object, ...]:
        """Return address, status and whether the number goes; None = as it is. An empty address: it reaches nobody."""
        table = self._table
        table.check_width(row)
        said = table.columns.has("line") or self._line
        address = (table.cell(row, "line") or self._line).removeprefix("sip:") if said else None
        word = table.cell(row, "status").casefold()
        if word in words.REMOVED:
            return address, None, True
        if word and word not in STATUSES:
            raise CellError("status", word, f"is one of {', '.join(STATUSES)}, or deleted")
        return address, word or None, False
