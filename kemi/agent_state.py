"""An agent on its way through a reload."""

from __future__ import annotations

from typing import NamedTuple


class AgentState(NamedTuple):
    """All that the code after a reload must know: plain bytes, since the classes are new afterwards."""

    calls: list[bytes]
    outbox: list[tuple[str, bytes]]
    closings: list[bytes]
    recent: list[tuple[int, str, bytes]]
    armed_epoch: int
    locations: bytes = b""
    tally: bytes = b""
    measures: bytes = b""
