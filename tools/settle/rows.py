"""What an event leaves in Postgres, as values, and the ids that make posting it again change nothing.

Rule 1: an id depends on reservation, level, sequence and book alone, for ever.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Final, NamedTuple
from uuid import UUID

NAMESPACE: Final = UUID("6f1b1f0e-52a4-5b7e-9d1c-7a1f3c0e5d21")
"""Root of every posting id; drawn once, never to be changed: ids made from it stand in the ledger."""

FUND: Final = "fund"
INCOME: Final = "income"
COST: Final = "cost"
CARRIER: Final = "carrier"
FX_BOUGHT: Final = "fx_bought"
FX_SOLD: Final = "fx_sold"

_ROOT: Final = sha1(NAMESPACE.bytes, usedforsecurity=False)
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Poison(NamedTuple):
    """Why an event cannot be posted: a sentence for the operator. Nothing of the event is posted."""

    reason: str


class CdrRow(NamedTuple):
    """One call. Times are Unix milliseconds, 0 = never. attempts: (server id, SIP status) in hunting order.

    is_late: by a late end; only a later one replaces it. refused_by: the account that refused it, 0 = none did.
    left_out: the carriers that were weighed and not asked, as JSON; see tandem.cdr.
    """

    rid: str
    call_id: str
    node: str
    started_ms: int
    answered_ms: int
    ended_ms: int
    direction: str
    source: str
    account_id: int
    caller: str
    callee: str
    outcome: str
    sip_status: int
    reason: str
    q850: int
    ended_by: str
    talk_ms: int
    billed_s: int
    server_id: int
    group_id: int
    attempts: tuple[tuple[int, int], ...]
    trace: tuple[str, ...]
    config_pass: int
    epoch: int
    seq: int
    is_late: bool
    refused_by: int = 0
    hidden: bool = False
    left_out: str = "[]"


class LegRow(NamedTuple):
    """What one payer pays one payee for the call. book: "fund" (held in Redis) or "cost" (owed to the carrier).

    price_micros: in `currency`, the payee's. charged_micros: the same in fund_currency, the payer's; None where there
    is no fund.
    """

    rid: str
    level: int
    payer_id: int
    payee_id: int
    currency: str
    price_micros: int
    tariff_id: int
    rate_set_id: int
    prefix: str
    book: str
    fund_currency: str | None = None
    charged_micros: int | None = None


class AttemptRow(NamedTuple):
    """One try of the hunt. n: 1 = the first. asked_at, ended_at: as Postgres reads them, None = not known.

    pdd_ms: None = it neither rang nor answered, or nobody knew when. place: of the target, None = nobody told. name: of
    a target that is no server.
    """

    rid: str
    n: int
    server_id: int
    asked_at: str | None
    ended_at: str | None
    status: int
    pdd_ms: int | None
    why: str
    place: int | None = None
    name: str = ""


class EntryRow(NamedTuple):
    """One side of a posting. id, txn_id: UUIDs. fund_n: the fund's event number, only in book `fund` of origin redis.

    group_id: the carrier that it is about, None = none. actor: who posts it.
    """

    id: str
    txn_id: str
    account_id: int
    book: str
    currency: str
    amount_micros: int
    origin: str
    rid: str
    level: int
    seq: int
    epoch: int
    fund_n: int | None
    note: str = ""
    group_id: int | None = None
    actor: str = "settle"


class CapHit(NamedTuple):
    """A spend cap of a fund refused a call. kind: "day" or "month". at_ms: Unix time of the refusal."""

    account_id: int
    currency: str
    kind: str
    at_ms: int


class Plan(NamedTuple):
    """Everything that one event leaves in Postgres. entries: of a late end, what the call costs, posted or not.

    cdr: None for a part, which leaves no record: its call goes on. ended_ms: when the talk ended that is charged.
    attempts: written with the record.
    """

    rid: str
    ended_ms: int
    cdr: CdrRow | None
    legs: tuple[LegRow, ...]
    entries: tuple[EntryRow, ...]
    cap_hit: CapHit | None = None
    attempts: tuple[AttemptRow, ...] = ()

    @property
    def is_late(self) -> bool:
        """Whether a late end leaves it, which stands before every other event of its call."""
        return self.cdr is not None and self.cdr.is_late


class Names:
    """Ids of what one reservation posts. A busy consumer makes 60,000 a second: the reservation is hashed once."""

    def __init__(self, rid: str) -> None:
        self._root = _ROOT.copy()
        self._root.update(f"{rid}:".encode())

    def entry(self, level: int, seq: int, book: str) -> str:
        """Return the id of a ledger entry: the same for the same (reservation, level, sequence, book), for ever."""
        return self._named(f"{level}:{seq}:{book}")

    def txn(self, seq: int) -> str:
        """Return the id of the transaction that the entries of an event are."""
        return self._named(str(seq))

    def _named(self, name: str) -> str:
        """Return the UUID, version 5, of a name of the reservation."""
        digest = self._root.copy()
        digest.update(name.encode())
        text = digest.hexdigest()
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def entry_id(rid: str, level: int, seq: int, book: str) -> str:
    """Return the id of a ledger entry: str(uuid.uuid5(NAMESPACE, "rid:level:seq:book"))."""
    return Names(rid).entry(level, seq, book)


def txn_id(rid: str, seq: int) -> str:
    """Return the id of the transaction that the entries of an event are: str(uuid.uuid5(NAMESPACE, "rid:seq"))."""
    return Names(rid).txn(seq)
