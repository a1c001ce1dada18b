"""The nodes' secret, for tools that draw as nodes do: who comes first of equal carriers goes by it and the Call-ID."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

VARIABLE: Final = "TANDEM_SECRET"
FILE: Final = "secret"  # in RUN_DIR, where the private stack keeps it
UNKNOWN: Final = f"their secret is not known here ({VARIABLE}), so nodes draw another order"


def node_secret(env: Mapping[str, str]) -> bytes:
    """Return the secret of TANDEM_SECRET, else that of the stack in RUN_DIR; empty = it is not known. Never raises.

    Without RUN_DIR no stack is looked for: that of this directory may be another one than the tables are from.
    """
    if env.get(VARIABLE):
        return env[VARIABLE].encode()
    if not env.get("RUN_DIR"):
        return b""
    try:
        return Path(env["RUN_DIR"], FILE).read_text().strip().encode()
    except (OSError, UnicodeDecodeError):
        return b""
