"""The address of the database, looked at before anything connects to it.

Rule: no sentence of ours repeats it, because it holds a password; libpq's own do where they cannot read it.
"""

from __future__ import annotations

import re
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tools.errors import OperatorError, not_set

_PORTS: Final = re.compile(r"[0-9]{0,5}(,[0-9]{0,5})*")
# What stands here when a password has an @, a / or a % that is not written as %40, %2F, %25.
_NO_NAME: Final = re.compile(r"[@\x00-\x1f]")


def checked(database_url: str) -> str:
    """Return an address that libpq can read, as it came: postgresql://user:password@host:port/name, or host=… dbname=….

    Of several hosts it is the one that takes writes, unless the address says otherwise: a standby lacks commits, and
    after a failover so does the old primary.
    Raises OperatorError, which does not repeat it; for "" one that says how to set it.
    """
    if not database_url:
        raise not_set("DATABASE_URL")
    try:
        parts = conninfo_to_dict(database_url)
    except (psycopg.Error, UnicodeError):
        parts = {"port": "unreadable"}
    names = (str(parts.get(name) or "") for name in ("host", "hostaddr", "dbname"))
    if not _PORTS.fullmatch(str(parts.get("port") or "")) or any(map(_NO_NAME.search, names)):
        raise OperatorError(
            "DATABASE_URL is no address of a database (not shown here, it may hold a password): it looks like"
            " postgresql://user:password@host:5432/name, where @ : / % ? # in a password are written as %40 and so on"
        ) from None
    several = any("," in str(parts.get(name) or "") for name in ("host", "hostaddr", "port"))
    if several and "target_session_attrs" not in parts:
        return make_conninfo(database_url, target_session_attrs="read-write")
    return database_url
