"""Both decisions of every call, in one transaction that never commits.

Rule 1: before and after see the same snapshot, so nothing differs but what is asked about.
Rule 2: a proposal runs with the rights of operators' tools where whoever asks may take them, so that it writes no file
and makes no table; else with his own. It runs on the real tables, with every check and trigger, and is rolled back. Its
locks are held until the calls are decided: who waits for one is told, nobody waits for us longer than that.
Rule 3: a proposal cannot end our transaction: it runs inside a function, where COMMIT and ROLLBACK are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import IsolationLevel

from kemi import keys
from kemi.core.outcome import Decision
from kemi.records import Emergency
from kemi.settings import Limits
from tools.database_url import checked
from tools.errors import OperatorError
from tools.explain.secret import UNKNOWN
from tools.replay.calls import Asked, PastCall, ask, askable, peers_of, recent
from tools.replay.compare import Change, change, outcome
from tools.replay.rewind import rewind
from tools.sql_tables import SqlTables, decide_all

AT_ONCE: Final = 2_000  # calls decided together: their requests and decisions are in memory
SECRET: Final = b"tandem replay"  # where that of the nodes is not known
HEALTH: Final = "what nodes remembered of servers that failed lately is not looked at"
ROLE: Final = "tandem_tool"
LOCK_WAIT: Final = "3s"  # for a row that somebody else is changing

_SESSION: Final = (f"SET LOCAL lock_timeout = '{LOCK_WAIT}'",)
_MAY_BE: Final = "SELECT FROM pg_roles r WHERE r.rolname = %s AND pg_has_role(r.oid, 'MEMBER')"
_RUN: Final = "DO $replay$ BEGIN EXECUTE pg_catalog.current_setting('tandem.proposal'); END $replay$"


class Replayed(NamedTuple):
    """What a replay found. skipped: calls that cannot be asked again. before, after: what is compared, in words."""

    calls: int
    skipped: int
    changes: list[Change]
    before: str
    after: str
    notes: tuple[str, ...] = ()


class Plan(NamedTuple):
    """What to replay. newest: how many calls. against: a generation, or a file of SQL. at_ms: as in calls.ask.

    secret: of the nodes, empty = it is not known.
    """

    newest: int
    against: str
    secret: bytes
    limits: Limits
    at_ms: int = 0


def replay(database_url: str, plan: Plan) -> Replayed:
    """Return what comes out otherwise. Raises OperatorError, and psycopg errors."""
    proposal = None if plan.against.isdecimal() else _text_of(plan.against)
    with _snapshot(database_url) as connection:
        calls = recent(connection, plan.newest)
        if proposal is None:
            past = rewind(connection, int(plan.against))
            then = SqlTables(connection, views=past.views, adjust=askable)
            now = SqlTables(connection, adjust=askable)
            notes = tuple(_not_noted(int(plan.against), past.config_pass))
            words = (
                f"generation {past.config_pass} of {past.applied_at:%Y-%m-%d %H:%M:%S %Z}",
                "the configuration now",
            )
            return _compared(calls, plan, then, lambda: now, words, notes)
        now = SqlTables(connection, adjust=askable)

        def proposed() -> SqlTables:
            _run(connection, proposal)
            return SqlTables(connection, adjust=askable)

        return _compared(calls, plan, now, proposed, ("the configuration now", f"with {plan.against}"), ())


def _compared(
    calls: Sequence[PastCall],
    plan: Plan,
    before: SqlTables,
    make_after: Callable[[], SqlTables],
    words: tuple[str, str],
    notes: tuple[str, ...],
) -> Replayed:
    """Decide all calls under the first configuration, then make the other one and decide them again."""
    emergency = before.records.get(keys.EMERGENCY)
    table = emergency if isinstance(emergency, Emergency) else Emergency(())
    asked, skipped = ask(
        calls, peers_of(before.load("peering_group").values()), table, plan.secret or SECRET, plan.at_ms
    )
    first = _decided(before, asked, plan)
    after = make_after()
    changes = [
        found
        for one, old, new in zip(asked, first, _decided(after, asked, plan), strict=True)
        if (found := _change(one, old, new, plan)) is not None
    ]
    unreadable = {**before.unreadable, **after.unreadable}
    told = tuple(f"{name} is no record: {why}" for name, why in unreadable.items())
    drawn = () if plan.secret else (f"draws among equal carriers: {UNKNOWN}",)
    return Replayed(len(asked), skipped, changes, *words, notes=(*notes, HEALTH, *drawn, *told))


def _decided(tables: SqlTables, asked: Sequence[Asked], plan: Plan) -> list[Decision]:
    found: list[Decision] = []
    for start in range(0, len(asked), AT_ONCE):
        requests = [one.request for one in asked[start : start + AT_ONCE]]
        found += decide_all(tables, requests, plan.secret or SECRET, plan.limits)
    return found


def _change(asked: Asked, before: Decision, after: Decision, plan: Plan) -> Change | None:
    """Compare both decisions; a call that was never answered is priced as one of the expected length."""
    talk_s = asked.past.billed_s or plan.limits.expected_s
    return change(asked, outcome(before, talk_s), outcome(after, talk_s))


def _not_noted(wanted: int, found: int) -> Iterator[str]:
    if wanted != found:
        yield f"generation {wanted} itself is not noted: {found} is the last one before it that is"


def _run(connection: psycopg.Connection[Any], proposal: str) -> None:
    """Apply a file of SQL as far as a commit would, and not further."""
    connection.execute("SELECT set_config('tandem.proposal', %s, true)", (proposal,))
    try:
        connection.execute(_RUN)
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).strip()
        raise OperatorError(f"the proposal is refused: {said}") from error


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise OperatorError(f"{path} is neither a generation nor a file of SQL that can be read: {error}") from error


@contextmanager
def _snapshot(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Open a transaction that sees one moment, and roll it back whatever happens."""
    connection = psycopg.connect(checked(database_url), connect_timeout=3, application_name="tandem replay")
    try:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        with connection.transaction(force_rollback=True):
            for command in _SESSION:
                connection.execute(command)
            if connection.execute(_MAY_BE, (ROLE,)).fetchone() is not None:
                connection.execute(f"SET LOCAL ROLE {ROLE}")
            yield connection
    finally:
        connection.close()
