"""Where the servers of tests keep what nobody needs afterwards: in memory, if the machine has enough."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
ROOM_BYTES: Final = 4 << 30
"""A whole run has needed a quarter of it; a container may be given 64 MB."""


def short_home() -> Path:
    """Return the directory for temporary ones; its own name is short: a socket's path has 107 bytes."""
    with suppress(OSError):
        room = os.statvfs(MEMORY)
        if os.access(MEMORY, os.W_OK) and room.f_bavail * room.f_frsize >= ROOM_BYTES:
            return MEMORY
    return Path("/tmp")
