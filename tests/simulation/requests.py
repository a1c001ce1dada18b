"""The calls of the money functions as they stand on the wire, decoded for the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from kemi.adapters.redis_client import Argument

ROWS_MAX = 16
FUNDS_MAX = 32
ASKS_MAX = 64
TURNS_MAX = 8
AMOUNT_END = 2**53
SIDES = frozenset({1, 2, 3})
ANSWER_BEFORE = 6  # arguments of an answer by a node of the first release


class Request(NamedTuple):
    """One call. kind: reserve, answer, extend, part, adopt, settle, release, note, late, or another function's name.

    seq: 0 for reserve and note. lease_ms: from now. rows: (talk_s, price per fund …). prices: per fund, totals.
    numbers: what follows a fund's name, of a restore. epoch: that is being built, as its asker believes.
    end: CallEnd, or where a list goes on, or the id of the reserve of a call that is told.
    fault: why it can never be applied, as far as its own numbers show; "" = nothing. asks, turns: of a reserve. place,
    joins, held_s: of who answered; `held` is what an answer wants to be held for held_s. leaves: who leads no more on.
    """

    kind: str
    op_id: bytes
    rid: str
    seq: int = 0
    lease_ms: int = 0
    node: bytes = b""
    seen_pass: int = 0
    funds: tuple[str, ...] = ()
    sides: tuple[int, ...] = ()
    rows: tuple[tuple[int, ...], ...] = ()
    used: frozenset[bytes] = frozenset()
    call: bytes = b""
    end: bytes = b""
    billed_s: int = 0
    prices: tuple[int, ...] = ()
    server_id: int = 0
    answered_ms: int = 0
    legs: bytes = b""
    numbers: tuple[int, ...] = ()
    fault: str = ""
    epoch: int = 0
    held: tuple[int, ...] = ()
    is_answered: bool = False
    asks: tuple[str, ...] = ()
    turns: tuple[int, ...] = ()
    place: int = -1
    joins: tuple[str, ...] = ()
    held_s: int = 0
    leaves: tuple[str, ...] = ()


def decode(words: Sequence[Argument]) -> Request | None:
    """Return the request in a command, None for a command that calls no function."""
    name, *rest = (word if isinstance(word, bytes) else str(word).encode() for word in words)
    if name not in (b"FCALL", b"FCALL_RO"):
        return None
    function, count, *rest = rest
    kind = function.decode().removeprefix("tandem_").removesuffix("_1")
    args = rest[int(count) :]
    if kind not in _DECODERS:
        return Request(kind, args[0] if args else b"", args[1].decode() if len(args) > 1 else "")
    return _DECODERS[kind](args)


def rows_fault(rows: Sequence[Sequence[int]], floor: Sequence[int]) -> str:
    """Return why rows are no schedule above `floor`, "" when they are.

    1…16 rows, numbers whole and below 2^53, seconds rise, no price falls.
    """
    if not 1 <= len(rows) <= ROWS_MAX or any(len(row) != len(floor) for row in rows):
        return "rows"
    before = floor
    for row in rows:
        if any(not _is_amount(now) or now < then for now, then in zip(row, before, strict=True)):
            return "amounts"
        if row[0] == before[0]:
            return "seconds"
        before = row
    return ""


def is_array(data: bytes) -> bool:
    """Whether bytes are one msgpack array."""
    return isinstance(msgpack.unpackb(data), list)


def _is_amount(number: object) -> bool:
    """Whether a number is whole, not negative and below 2^53; 1.0 is whole, as Lua sees it."""
    return isinstance(number, int | float) and 0 <= number < AMOUNT_END and number == int(number)


def _reserve(args: list[bytes]) -> Request:
    ask: Any = msgpack.unpackb(args[2])
    node, lease_ms, seen, funds, sides, flat, asks, turns = ask
    rows = _rows(flat, len(funds) + 1)
    fault = rows_fault(rows, (0,) * (len(funds) + 1))
    if len(funds) > FUNDS_MAX or len(set(funds)) != len(funds):
        fault = "funds"
    if any(side not in SIDES for side in sides):
        fault = "sides"
    if len(asks) > ASKS_MAX or len(turns) > TURNS_MAX:
        fault = "asked"
    used: Any = msgpack.unpackb(args[3])
    return Request(
        kind="reserve",
        op_id=args[0],
        rid=args[1].decode(),
        lease_ms=lease_ms,
        node=node.encode(),
        seen_pass=seen,
        funds=tuple(funds),
        sides=tuple(sides),
        rows=rows,
        used=frozenset(name.encode() for name in used),
        call=args[4],
        fault=fault,
        asks=tuple(asks),
        turns=tuple(turns),
    )


def _extend(args: list[bytes]) -> Request:
    flat: Any = msgpack.unpackb(args[5])
    return _numbered("extend", args)._replace(lease_ms=int(args[3]), node=args[4], rows=(tuple(flat),))


def _answer(args: list[bytes]) -> Request:
    made = _numbered("answer", args)._replace(lease_ms=int(args[3]), node=args[4], server_id=int(args[5]))
    if len(args) <= ANSWER_BEFORE:
        return made
    who: Any = msgpack.unpackb(args[8])
    place, joins, held_s, held, leaves = who
    said = made._replace(answered_ms=int(args[6]), legs=args[7], place=place, held_s=held_s)
    return said._replace(joins=tuple(joins), held=tuple(held), leaves=tuple(leaves))


def _adopt(args: list[bytes]) -> Request:
    return _numbered("adopt", args)._replace(lease_ms=int(args[3]), node=args[4])


def _settle(args: list[bytes]) -> Request:
    return _charging("settle", args)


def _part(args: list[bytes]) -> Request:
    return _charging("part", args)


def _charging(kind: str, args: list[bytes]) -> Request:
    prices: Any = msgpack.unpackb(args[4])
    return _numbered(kind, args)._replace(billed_s=int(args[3]), prices=tuple(prices), end=args[5])


def _release(args: list[bytes]) -> Request:
    return _numbered("release", args)._replace(end=args[3])


def _note(args: list[bytes]) -> Request:
    return Request("note", args[0], args[1].decode(), call=args[2], end=args[3])


def _late(args: list[bytes]) -> Request:
    return _numbered("late", args)._replace(call=args[3], end=args[4])


def _of_node(args: list[bytes]) -> Request:
    return Request("of_node", args[0], "", node=args[1], end=args[2])


def _rehold(args: list[bytes]) -> Request:
    told: Any = msgpack.unpackb(args[6])
    reserve_id, granted_s, talked_ms, server_id, answered_ms, billed_s, *rows = told
    funds, sides, held, posted, place, joins = rows
    return _numbered("rehold", args)._replace(
        lease_ms=int(args[3]),
        node=args[4],
        epoch=int(args[5]),
        end=reserve_id.encode(),
        numbers=(granted_s,),
        is_answered=talked_ms >= 0,
        server_id=server_id,
        answered_ms=answered_ms,
        billed_s=billed_s,
        funds=tuple(funds),
        sides=tuple(sides),
        held=tuple(held),
        prices=tuple(posted),
        call=args[7],
        legs=args[8],
        place=place,
        joins=tuple(joins),
    )


def _adopted(args: list[bytes]) -> Request:
    return Request("adopted", args[0], "", node=args[1], epoch=int(args[2]), numbers=(int(args[3]),))


def _amend(args: list[bytes]) -> Request:
    posted: Any = msgpack.unpackb(args[4])
    return _numbered("amend", args)._replace(billed_s=int(args[3]), prices=tuple(posted))


def _restore(args: list[bytes]) -> Request:
    return _sums("restore_fund", args)


def _recount(args: list[bytes]) -> Request:
    return _sums("recount", args)


def _sums(kind: str, args: list[bytes]) -> Request:
    return Request(kind, args[0], args[1].decode(), numbers=tuple(map(int, args[2:])))


def _numbered(kind: str, args: list[bytes]) -> Request:
    return Request(kind, args[0], args[1].decode(), int(args[2]))


def split_rows(request: Request, funds: int) -> tuple[tuple[int, ...], ...]:
    """Return the rows of an extension, whose width only the reservation tells."""
    return _rows(request.rows[0], funds + 1)


def _rows(flat: Sequence[int], width: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(flat[at : at + width]) for at in range(0, len(flat), width))


_DECODERS = {
    "reserve": _reserve,
    "answer": _answer,
    "extend": _extend,
    "part": _part,
    "adopt": _adopt,
    "settle": _settle,
    "release": _release,
    "note": _note,
    "late": _late,
    "restore_fund": _restore,
    "of_node": _of_node,
    "recount": _recount,
    "rehold": _rehold,
    "adopted": _adopted,
    "amend": _amend,
}
