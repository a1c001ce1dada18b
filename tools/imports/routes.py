"""`tandem import routes`: which calls a carrier takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from tools.imports import changes, values, words
from tools.imports.changes import Statements, Target
from tools.imports.codes import Dialling, codes
from tools.imports.faults import Faults, noted
from tools.imports.outcome import Manner, refuse
from tools.imports.progress import steps
from tools.imports.run import Source, Who
from tools.imports.source import Row, rows, survey
from tools.imports.table import CellError, Kind, Table, opened, read
from tools.imports.values import DateOrder
from tools.session import Session, not_there, session
from tools.tenant.catalogue import resource
from tools.tenant.naming import find_named

KIND: Final = Kind(words.ROUTES, needs=(("prefix", "area_code", "country_code", "callee_pattern", "caller_pattern"),))
DESCRIPTION_MAX: Final = 200  # description_is_up_to_200_printable_characters
_CARRIER: Final = """
select g.id, g.name, g.account_id, a.name, a.timezone,
       (select count(*) from tandem.peering_rule r where r.group_id = g.id)
  from tandem.peering_group g join tandem.account a on a.id = g.account_id where g.id = %s
"""
_LOCK: Final = "select from tandem.peering_group where id = %s for no key update"
_TABLE: Final = """
line integer not null, callee_prefix text collate "C" not null, callee_pattern text not null,
caller_pattern text not null, stopper boolean not null, block boolean not null, enabled boolean not null,
description text not null, valid_from timestamptz, valid_to timestamptz, time_set text not null,
removed boolean not null, time_set_id bigint, key text
"""
_COLUMNS: Final = """
line, callee_prefix, callee_pattern, caller_pattern, stopper, block, enabled, description, valid_from, valid_to,
time_set, removed
"""
# key: what peering_rule_is_not_said_twice looks at. There: the carrier's rules before anything is changed.
STATEMENTS: Final = Statements(
    prepare=(
        """
        update pg_temp.import_line l set time_set_id = t.id
          from (select name, min(id) as id from tandem.time_set group by name having count(*) = 1) as t
         where t.name = l.time_set
        """,
        """
        update pg_temp.import_line l
           set key = jsonb_build_array(callee_prefix, callee_pattern, caller_pattern, block, valid_from,
                                       valid_to, time_set_id)
        """,
        """
        create temporary table import_there on commit drop as
        select r.id, jsonb_build_array(r.callee_prefix, r.callee_pattern, r.caller_pattern, r.block, r.valid_from,
                                       r.valid_to, r.time_set_id)::text as key
          from tandem.peering_rule r where r.group_id = %(id)s
        """,
    ),
    told_off=(
        """
        select line, 'time_set', time_set, 'does not exist, or several have this name'
          from pg_temp.import_line where time_set <> '' and time_set_id is null order by line
        """,
        """
        select l.line, p.name, p.pattern, 'a pattern that ' || tandem.pattern_fault(p.pattern)
          from pg_temp.import_line l
         cross join lateral (values ('callee_pattern', l.callee_pattern), ('caller_pattern', l.caller_pattern))
                 as p(name, pattern)
         where p.pattern <> '' and tandem.pattern_fault(p.pattern) is not null order by l.line
        """,
        """
        select max(line), 'prefix', min(callee_prefix), format('line %%s says the same route otherwise', min(line))
          from pg_temp.import_line group by key
        having count(distinct (stopper, enabled, description, removed)) > 1 order by 1
        """,
    ),
    changes=(
        """
        delete from pg_temp.import_line l
         using (select key, min(ctid) as first from pg_temp.import_line group by key) as r
         where r.key = l.key and l.ctid <> r.first
        """,
        """
        insert into pg_temp.import_change(key, before)
        select r.id, to_jsonb(r)
          from pg_temp.import_line l
          join pg_temp.import_there t on t.key = l.key
          join tandem.peering_rule r on r.id = t.id
         where not l.removed and (r.stopper, r.enabled, r.description) <> (l.stopper, l.enabled, l.description)
        """,
        """
        update tandem.peering_rule r set stopper = l.stopper, enabled = l.enabled, description = l.description
          from pg_temp.import_change c
          join pg_temp.import_there t on t.id = c.key
          join pg_temp.import_line l on l.key = t.key
         where r.id = c.key
        """,
        """
        update pg_temp.import_change c set after = to_jsonb(r) from tandem.peering_rule r where r.id = c.key
        """,
        """
        insert into pg_temp.import_change(key, before)
        select r.id, to_jsonb(r)
          from pg_temp.import_there t
          join tandem.peering_rule r on r.id = t.id
          left join pg_temp.import_line l on l.key = t.key
         where coalesce(l.removed, %(is_full)s)
        """,
        """
        delete from tandem.peering_rule r using pg_temp.import_change c where r.id = c.key and c.after is null
        """,
        """
        with made as (
          insert into tandem.peering_rule
            (group_id, callee_prefix, callee_pattern, caller_pattern, stopper, block, enabled, description,
             valid_from, valid_to, time_set_id)
          select %(id)s, l.callee_prefix, l.callee_pattern, l.caller_pattern, l.stopper, l.block, l.enabled,
                 l.description, l.valid_from, l.valid_to, l.time_set_id
            from pg_temp.import_line l
           where not l.removed and not exists (select from pg_temp.import_there t where t.key = l.key)
          returning *
        )
        insert into pg_temp.import_change(key, after) select m.id, to_jsonb(m) from made m
        """,
    ),
    left_over=(),
)


class Carrier(NamedTuple):
    """Whose routes come."""

    target: Target
    zone: ZoneInfo


class Options(NamedTuple):
    """Options of a list of routes."""

    carrier: str
    is_full: bool
    removed_pct: int
    dates: DateOrder
    dialling: Dialling


def import_routes(who: Who, source: Source, options: Options, manner: Manner) -> None:
    """Import routes. Raises OperatorError; nothing has changed then."""
    file = survey(source.path, source.encoding)
    with session(who.database_url, as_account=who.as_account, actor=who.actor, program="tandem import") as acting:
        connection = acting.connection
        carrier = find_carrier(acting, options.carrier)
        connection.execute(_LOCK, (carrier.target.id,))
        parameters = {"id": carrier.target.id, "is_full": options.is_full}
        with noted(source.errors) as faults, steps(shown=not manner.as_json) as step:
            step.begin("reading", file.size)
            table = opened(rows(file, source.delimiter, faults, step.reach), KIND, source.layout)
            reader = RouteRows(table, options, carrier.zone, faults)
            changes.stage(connection, _TABLE, _COLUMNS, reader)
            step.begin("comparing")
            changes.run(connection, STATEMENTS.prepare, parameters)
            changes.ask(connection, STATEMENTS.told_off, parameters, table.columns, faults)
            refuse(faults, file, manner, str(source.errors or ""))
            step.begin("writing")
            changes.run(connection, STATEMENTS.changes, parameters)
        summary = {"lines": reader.lines, "full": options.is_full, **changes.counts(connection)}
        changes.finish(connection, carrier.target, file, summary, options.removed_pct, manner)


def find_carrier(acting: Session, who: str) -> Carrier:
    """Return the carrier that a text names. Raises OperatorError: none, several, or one whose owner is not seen."""
    carrier_id = find_named(acting.connection, resource("peering"), who, acting.account_id, "carrier")
    found = acting.connection.execute(_CARRIER, (carrier_id,)).fetchone()
    if found is None:
        raise not_there("carrier", who)
    number, name, account_id, owner, timezone, before = found
    target = Target("routes", number, name, account_id, f"carrier {number} {name} of {owner}", before)
    return Carrier(target, ZoneInfo(timezone))


class RouteRows:
    """Reads the rows of a list of routes, one for each code. zone: in which dates are written."""

    def __init__(self, table: Table, options: Options, zone: ZoneInfo, faults: Faults) -> None:
        self.lines = 0
        self._table = table
        self._options = options
        self._zone = zone
        self._faults = faults

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        """Yield what is staged; rows that are wrong become faults."""
        for row in self._table.rows:
            self.lines += 1
            try:
                rest = self._rest(row)
                for prefix in self._prefixes(row):
                    yield row.line, prefix, *rest
            except CellError as error:
                name = self._table.columns.name(error.field) if error.field else ""
                self._faults.add(row.line, name, error.value, error.rule)

    def _prefixes(self, row: Row) -> list[str]:
        """Return the codes of a row; an empty one is every number."""
        code = self._table.cell(row, "prefix") or self._table.cell(row, "area_code")
        country = self._table.cell(row, "country_code")
        if not code and not country:
            return [""]
        field = "prefix" if self._table.columns.has("prefix") else "area_code"
        return list(read(field, code, lambda cell: codes(cell, country, self._options.dialling)))

    def _rest(self, row: Row) -> tuple[object, ...]:
        table = self._table
        table.check_width(row)
        stopper, block = self._flag(row, "stopper"), self._flag(row, "block")
        if stopper and block:
            raise CellError("block", table.cell(row, "block"), "a route blocks or stops, not both")
        begins, ends = self._moment(row, "valid_from"), self._moment(row, "valid_to")
        if begins and ends and ends <= begins:
            raise CellError("valid_to", table.cell(row, "valid_to"), "a route ends after it begins")
        description = table.cell(row, "description")
        if len(description) > DESCRIPTION_MAX or not description.isprintable():
            raise CellError("description", description, f"is up to {DESCRIPTION_MAX} printable characters")
        enabled, removed = self._state(row)
        patterns = (table.cell(row, "callee_pattern"), table.cell(row, "caller_pattern"))
        return *patterns, stopper, block, enabled, description, begins, ends, table.cell(row, "time_set"), removed

    def _state(self, row: Row) -> tuple[bool, bool]:
        """Return whether a route is enabled, and whether it goes."""
        text = self._table.cell(row, "enabled")
        word = text.casefold()
        if word in words.REMOVED:
            return True, True
        if not text or word in words.KEPT:
            return True, False
        return read("enabled", text, values.flag), False

    def _flag(self, row: Row, field: str) -> bool:
        return read(field, self._table.cell(row, field), values.flag)

    def _moment(self, row: Row, field: str) -> datetime | None:
        text = self._table.cell(row, field)
        if not text:
            return None
        return read(field, text, lambda cell: values.moment(cell, self._options.dates, self._zone))
