"""The bounds that nodes obey, for tools that decide as a node does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kemi.settings import SECRET_BYTES_MIN, Limits, Settings, SettingsError
from tools.errors import OperatorError

_NO_LIMITS: Final = {
    "TANDEM_NODE": "tool",
    "REDIS_URL": "unused",
    "TANDEM_SECRET": "-" * SECRET_BYTES_MIN,
    "TANDEM_SPOOL": "unused",
    "TANDEM_LISTEN": "unused",
}
"""What a node needs besides its limits, and a tool does not."""


def node_limits(env: Mapping[str, str]) -> Limits:
    """Return the limits that a node with this environment has, for one that sets none the defaults.

    Raises OperatorError that names the variable.
    """
    set_here = {name: value for name, value in env.items() if name.startswith("TANDEM_") and value}
    try:
        return Settings.from_environment(set_here | _NO_LIMITS).limits
    except SettingsError as error:
        raise OperatorError(str(error)) from error
