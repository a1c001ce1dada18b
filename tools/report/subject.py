"""Whom a report is of: the account, its clock and language, the time, and in which form it is wanted."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tools.account.entries import FIRST, LAST
from tools.account.times import between
from tools.errors import OperatorError
from tools.report.columns import Column, Sheet
from tools.report.tongue import Tongue, tongue
from tools.report.writers import Csv, Json, People, Writer
from tools.session import Session, find_account

_ACCOUNT: Final = "select name, kind, timezone, language, currency from tandem.account where id = %s"
_SCALES: Final = "select code, scale from tandem.currency"


class Form(NamedTuple):
    """What was typed. account: "" = whoever acts; since, until: date or moment, "" = now; language: "" = its own."""

    account: str
    since: str
    until: str
    language: str
    as_csv: bool
    as_json: bool


class Subject(NamedTuple):
    """An account as a report tells of it. since: included, until: not. is_own: whoever asks is it, or the root."""

    account_id: int
    name: str
    is_root: bool
    is_own: bool
    currency: str
    timezone: str
    tongue: Tongue
    since: datetime
    until: datetime
    scales: dict[str, int]

    def arguments(self) -> dict[str, int | datetime | str]:
        """Return what the queries of all reports ask for."""
        return {"account": self.account_id, "since": self.since, "until": self.until, "zone": str(self.timezone)}

    def sheet(self, title: str, note: str, columns: tuple[Column, ...]) -> Sheet:
        """Return the head of a report. title, note: in English, for people."""
        say = self.tongue
        begin, end = say.moment(self.since), say.moment(self.until)
        subtitle = say.text("%(begin)s to %(end)s, %(zone)s") % {"begin": begin, "end": end, "zone": self.timezone}
        head: dict[str, str | int] = {
            "account": self.account_id,
            "name": self.name,
            "currency": self.currency,
            "timezone": self.timezone,
            "from": self.since.isoformat(),
            "to": self.until.isoformat(),
        }
        below = say.text("%(period)s; %(note)s") % {"period": subtitle, "note": say.text(note)}
        return Sheet(say.titled(title, f"{self.account_id} {self.name}"), below, head, columns)


def subject(acting: Session, form: Form) -> Subject:
    """Return whom the report is of. Raises OperatorError, also for an account that is not seen."""
    account_id = find_account(acting.connection, form.account).id if form.account else acting.account_id
    row = acting.connection.execute(_ACCOUNT, (account_id,)).fetchall()
    name, kind, timezone, language, currency = row[0]
    zone = _zone(timezone)
    since, until = between(form.since, form.until or "now", zone)
    return Subject(
        account_id=account_id,
        name=name,
        is_root=kind == "root",
        is_own=acting.is_root or acting.account_id == account_id,
        currency=currency,
        timezone=timezone,
        tongue=tongue(form.language or language, zone, is_asked=bool(form.language)),
        since=since or FIRST,
        until=until or LAST,
        scales=dict(acting.connection.execute(_SCALES).fetchall()),
    )


def writer(form: Form, of: Subject) -> Writer:
    """Return the output that was asked for. Raises OperatorError for both at once."""
    if form.as_csv and form.as_json:
        raise OperatorError("json: --csv and --json are two outputs; ask for one")
    if form.as_csv:
        return Csv(of.tongue, of.scales, is_told=bool(form.language))
    return Json(of.tongue, of.scales) if form.as_json else People(of.tongue, of.scales)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise OperatorError(f"timezone: {name!r} is not known on this machine") from error
