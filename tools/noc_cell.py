"""Asking nodes through Redis: one by its name, or all that are seen. Their agents answer, within a second or so."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from kemi import keys
from kemi.adapters.redis_client import Argument, RedisClient, StoreUnavailable
from tools.errors import OperatorError, not_set

TIMEOUT_MS: Final = 5_000
ANSWER_S: Final = 10  # how long a question stands, and is waited for
LOOK_S: Final = 0.05
UNSURE: Final = "; it may have been carried out all the same"
SILENT_MS: Final = 10_000  # a node says every second that it lives; the sweeper's measure
GONE_MS: Final = 86_400_000  # who was silent for a day was taken away


class Cell:
    """The nodes of a cell, as its Redis knows them."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def chosen(self, node: str) -> list[str]:
        """Return the names of the nodes to ask: this one, or with "" all that are seen. Raises OperatorError."""
        silent_ms = self._silent_ms()
        seen = sorted(name for name, ms in silent_ms.items() if ms <= SILENT_MS)
        if not node:
            if not seen:
                raise OperatorError("no node is seen: none has told this Redis lately that it lives")
            return seen
        if node in seen:
            return [node]
        known = f"; seen are: {', '.join(seen) or 'none'}"
        if node in silent_ms:
            raise OperatorError(f"node {node} has been silent for {silent_ms[node] // 1000} s{known}")
        raise OperatorError(f"no node {node!r} is seen{known}")

    def silent(self) -> list[str]:
        """Return the nodes that were seen within a day and say nothing now."""
        return sorted(name for name, ms in self._silent_ms().items() if SILENT_MS < ms <= GONE_MS)

    def ask(self, node: str, command: str) -> dict[str, Any]:
        """Return a node's answer. Raises OperatorError where none comes in time."""
        ticket, key = secrets.token_hex(16), keys.noc_question(node)
        question = json.dumps([ticket, command])
        if len(question) > keys.NOC_QUESTION_MAX:
            raise OperatorError(f"a question of {len(question)} bytes is too long: at most {keys.NOC_QUESTION_MAX}")
        end_s = time.monotonic() + ANSWER_S
        while self._run("SET", key, question, "NX", "EX", ANSWER_S) is None:
            if time.monotonic() > end_s:
                raise OperatorError(f"node {node} is being asked by somebody else and does not answer them")
            time.sleep(LOOK_S)
        end_s = time.monotonic() + ANSWER_S
        while (told := self._run("GET", keys.noc_answer(ticket))) is None:
            if time.monotonic() > end_s:
                raise OperatorError(f"node {node} gave no answer to {command!r} within {ANSWER_S} s{UNSURE}")
            time.sleep(LOOK_S)
        self._run("DEL", key, keys.noc_answer(ticket), keys.noc_taken(ticket))
        answer: dict[str, Any] = json.loads(told)
        return answer

    def _silent_ms(self) -> dict[str, int]:
        flat = self._run("HGETALL", keys.NODES)
        seconds, micros = self._run("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        return {name.decode(): now_ms - int(ms) for name, ms in zip(flat[::2], flat[1::2], strict=True)}

    def _run(self, *words: Argument) -> Any:
        try:
            return self._client.execute(*words)
        except StoreUnavailable as error:
            raise OperatorError(f"REDIS_URL: Redis does not answer: {error}") from error


@contextmanager
def opened(redis_url: str) -> Iterator[Cell]:
    """Give the cell of this Redis."""
    if not redis_url:
        raise not_set("REDIS_URL")
    client = RedisClient(redis_url, TIMEOUT_MS)
    try:
        yield Cell(client)
    finally:
        client.close()
