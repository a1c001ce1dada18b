"""Calls that go on beyond what is held for them, because Redis is away. No clock, no I/O.

Rule 1: only where the payers' word was pinned with the call (offline_s), and only while Redis cannot be asked: who was
refused ends with what was granted.
Rule 2: Redis is asked all the time. Its next grant covers what was talked meanwhile, or the call ends at once.
Rule 3: all that was talked is charged once: what is held by the Settle, the rest by a late end behind it, of which
Postgres posts the difference at every level.
"""

from __future__ import annotations

from collections.abc import Iterable

from kemi import codec
from kemi.adapters.ksr_queue import Started
from kemi.adapters.redis_operations import Late, Release, Settle
from kemi.agent_orders import Outgoing
from kemi.agent_slices import MONEY, NS, STORE_DOWN, deadline_ns
from kemi.agent_talk import Talk
from kemi.core.rating import charges
from kemi.records import CallEnd


def end_ns(talk: Talk, started: Started) -> int:
    """Return when a call has to end, as things stand: its granted talk is over, and what it may go on beyond that."""
    goes_on = talk.unextended == STORE_DOWN and talk.granted_s < talk.call.max_s
    return started.answered_ns + (max(talk.granted_s, talk.until_s) if goes_on else talk.granted_s) * NS


def go_on(talk: Talk) -> bool:
    """Let a call whose granted talk is over go on if it may; tell whether it does so from now on."""
    if talk.until_s or not talk.is_unasked or talk.unextended not in ("", STORE_DOWN) or not talk.call.offline_s:
        return False
    talk.until_s, talk.unextended = min(talk.granted_s + talk.call.offline_s, talk.call.max_s), STORE_DOWN
    return True


def caught_up(talk: Talk, started: Started, most_s: int, now_ns: int) -> None:
    """Take in that Redis has granted more to a call. most_s: what it was asked for.

    Where that ends before now it is a refusal, unless no more was asked for: then the call goes on until it is.
    """
    if now_ns < deadline_ns(talk, started) or not talk.until_s:
        talk.until_s, talk.unextended = 0, ""
    elif talk.granted_s < most_s:
        talk.unextended = MONEY


def on_whose_word(talks: Iterable[Talk]) -> dict[str, int]:
    """Return the account that let each call in without a hold; 0 = it has one, or is an emergency call."""
    return {talk.call.rid: talk.call.offline_id for talk in talks}


def going_on(talks: Iterable[Talk]) -> int:
    """Return how many calls talk beyond what is held for them."""
    return sum(talk.until_s > 0 for talk in talks)


def settled(talk: Talk, billed_s: int, end: CallEnd) -> Outgoing:
    """Return what charges a call. What was talked beyond the hold goes along, to be told after that."""
    whole = codec.pack(end) if billed_s > talk.granted_s else b""
    if whole:
        billed_s = talk.granted_s
        end = end._replace(billed_s=billed_s)
    price_micros = charges(talk.paid, billed_s, end.answered_ms)
    settle = Settle(*talk.next_op(), billed_s, price_micros, codec.pack(end))
    return Outgoing(settle, talk.pinned, whole, talk.funds)


def told_whole(sent: Outgoing, closing: Settle | Release) -> list[Outgoing]:
    """Return what tells of all that was talked, once Redis has charged what it held."""
    seq = closing.seq + 1
    return [Outgoing(Late(f"{closing.rid}:{seq}", closing.rid, seq, sent.pinned, sent.whole))] if sent.whole else []
