"""The agent's part of the NOC's desk: what is asked of this node through Redis, and what accounts have left.

A question stands under a key of the node's own for some seconds; it is answered once, under the asker's ticket, by the
same commands as kamcmd's. Redis keeps who has taken it, so that neither a reload nor a restart carries an order out
again: one that died at it leaves no answer, and the asker hears that nobody knows. Connection and turn are its own:
what it waits for, the calls do not.
"""

from __future__ import annotations

import json
import re
import secrets
import traceback
from collections.abc import Sequence
from typing import Any, Final, Protocol

from kemi import keys, noc, noc_calls, noc_table
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import NOC
from kemi.adapters.redis_client import Argument, StoreUnavailable
from kemi.adapters.redis_operations import Balance
from kemi.noc_command import Answer, Desk
from kemi.settings import Settings

ASKED_NS: Final = 200_000_000  # how long a question waits at most; 5 reads a second cost Redis nothing
ANSWER_S: Final = 30  # longer than a question stands
ANSWER_MAX: Final = 500_000  # bytes; a longer one might take Redis' time-out to write, and count as an outage
TICKET: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Store(Protocol):
    """What is needed of redis_client.RedisClient."""

    def available(self) -> bool:
        """Tell whether a call would be tried now."""

    def execute(self, *words: Argument) -> Any:
        """Run one command. Raises StoreUnavailable."""

    def close(self) -> None:
        """Drop the connection."""


class Money(Protocol):
    """What is needed of redis_funds.Funds."""

    def balances(self, funds: Sequence[str], /) -> list[Balance]:
        """Return the balances of `funds`. Raises StoreUnavailable."""


class AgentNoc:
    """One per node, in the agent's process."""

    def __init__(self, ksr: Ksr, settings: Settings, client: Store, money: Money) -> None:
        self._ksr = ksr
        self._settings = settings
        self._client = client
        self._money = money
        self._again_ns = 0
        self._ticket = ""
        self._name = secrets.token_hex(8)  # of this object: one from before a reload is another one

    def turn(self, now_ns: int, unix_ms: int) -> None:
        """Answer what is asked, and look up what is wanted. now_ns: CLOCK_MONOTONIC."""
        if not self._client.available():
            return
        try:
            self._look_up()
            if now_ns >= self._again_ns:
                self._again_ns = now_ns + ASKED_NS
                self._serve(Desk(self._ksr, self._settings, now_ns, unix_ms))
        except StoreUnavailable:
            return  # who asked will ask again; that Redis is down is said elsewhere

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    def _serve(self, desk: Desk) -> None:
        asked = self._client.execute("GET", keys.noc_question(self._settings.node))
        ticket, command = _question(asked)
        if not ticket or ticket == self._ticket:
            return
        is_ours = self._take(ticket)
        self._ticket = ticket  # before the work: what fails is not tried again
        if not is_ours:
            return
        text = json.dumps(self._answer(desk, command.split()))
        if len(text) > ANSWER_MAX:
            text = json.dumps(
                {"error": f"the answer has {len(text)} bytes, of {ANSWER_MAX}: choose less, or set limit="}
            )
        self._client.execute("SETEX", keys.noc_answer(ticket), ANSWER_S, text)

    def _take(self, ticket: str) -> bool:
        """Say in Redis that we answer this question; return False where another object of this node has said so."""
        taken = self._client.execute("SET", keys.noc_taken(ticket), self._name, "NX", "GET", "EX", ANSWER_S)
        return taken is None or taken == self._name.encode()

    def _answer(self, desk: Desk, words: list[str]) -> Answer:
        try:
            answer = noc.answer(desk, words)
            return noc.answer(desk, words) if words[:1] == ["calls"] and self._look_up() else answer
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  the asker shall hear of it, and the log
            told = traceback.format_exc().replace("\n", " | ")
            self._ksr.err(f"noc: {told}\n")
            return {"error": f"the node failed at it: {type(error).__name__}; its log says more"}

    def _look_up(self) -> bool:
        """Say what the wanted funds have left; return whether any were wanted."""
        wanted = noc_table.value(self._ksr, NOC, noc_calls.WANTED)
        if not isinstance(wanted, list) or not wanted:
            return False
        self._ksr.htable.sht_rm(NOC, noc_calls.WANTED)
        left = {balance.fund: _left(balance) for balance in self._money.balances(wanted)}
        self._ksr.htable.sht_setxs(NOC, noc_calls.LEFT, json.dumps(left), noc_calls.LEFT_S)
        return True


def _question(asked: bytes | None) -> tuple[str, str]:
    """Return ticket and command; "" and "" for what is no question."""
    if not asked or len(asked) > keys.NOC_QUESTION_MAX:
        return "", ""
    try:
        found = json.loads(asked)
    except ValueError:
        return "", ""
    match found:
        case [str() as ticket, str() as command] if TICKET.fullmatch(ticket):
            return ticket, command
    return "", ""


def _left(balance: Balance) -> int | None:
    """Return what a fund may still hold; None: no limit, or nothing is known of it."""
    terms = balance.terms
    if terms is None or terms.credit_limit_micros < 0:
        return None
    return terms.cred_micros + terms.credit_limit_micros - balance.charged_micros - balance.held_micros
