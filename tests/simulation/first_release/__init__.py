"""The wire of the first release: its money library, and what its nodes asked; both live on while a cell is upgraded.

Requests of our code are cut to what a node of that release would have asked, answers of that library filled up to what
our code reads. What that release had not is answered as if nobody had asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgpack

from kemi.adapters import redis_functions
from kemi.adapters.redis_client import Argument, FunctionFailed, Reply

LIBRARY: Final = "tandem_money_1"
ARGUMENTS: Final = {"tandem_answer_1": 6, "tandem_describe_1": 2, "tandem_restore_fund_1": 4}
DESCRIBED: Final = 13  # values in the answer of the first release
ABSENT: Final = frozenset(
    f"tandem_{name}_1" for name in ("part", "adopt", "recount", "void", "amend", "rehold", "adopted")
)


def sources() -> dict[str, str]:
    """Return the libraries of that release; that of the configuration has not changed its ways."""
    first = Path(__file__).with_name("money.lua").read_text(encoding="utf-8")
    spelled = redis_functions.PLACEHOLDER.sub(lambda match: redis_functions._key(match[1]), first)
    return {**redis_functions.sources(), LIBRARY: spelled}


def asked(words: Sequence[Argument]) -> Sequence[Argument]:
    """Return a command as a node of that release would have sent it."""
    if words[0] not in ("FCALL", "FCALL_RO"):
        return words
    name, keys = str(words[1]), int(words[2])
    head, args = words[: 3 + keys], list(words[3 + keys :])
    if name == "tandem_reserve_1" and isinstance(args[2], bytes):
        ask: Any = msgpack.unpackb(args[2])
        ask[4] = [1] * len(ask[4])  # how many channels
        args[2] = msgpack.packb(ask)
    return (*head, *args[: ARGUMENTS.get(name, len(args))])


def answered(words: Sequence[Argument], reply: Reply | FunctionFailed) -> Reply | FunctionFailed:
    """Return an answer of that release as our code reads it."""
    if words[1:2] == ("tandem_describe_1",) and isinstance(reply, list) and len(reply) == DESCRIBED:
        zeros = [0] * len(reply[10])
        return [*reply, zeros, 0, 0, b"", zeros, 0]
    return reply


def absent(words: Sequence[Argument], opseq: int) -> list[Any] | None:
    """Return what is answered to a function that the library of that release has not; None where it has it."""
    if words[0] not in ("FCALL", "FCALL_RO"):
        return None
    name, asked_by = str(words[1]), str(words[3 + int(words[2])]).encode()
    if name == "tandem_of_node_1":
        return [asked_by, b"OK", opseq, b"0"]
    if name in ABSENT:
        return [asked_by, b"INVALID", opseq, b"the first release knows nothing of this"]
    return None


def current() -> dict[str, str]:
    """Return the libraries of this release."""
    return redis_functions.sources()
