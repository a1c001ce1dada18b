"""Puts our function libraries into Redis, and says what the workers' user may do there.

Rule 1: a library is loaded only where its source differs: loading it again would disarm the money functions.
Rule 2: the libraries spell no key. `@NAME@` in their source stands for the constant `NAME` of kemi/keys.py, or for
the prefix that its function `name` puts before its argument.
Rule 3: a folder of functions/ is ONE library: its files joined in the order of their names.

The workers' user. Redis runs what is inside a function with the rights of its CALLER, so "may call our functions and
nothing else" cannot be said outright: whoever may call them may also run the commands in them. The rules come as
near as Redis 7.0 allows. The few writing commands of the money functions are allowed only with the first key that
these use (MSET only as `MSET {0}opseq …`, XADD only to the streams of events and of registrations, ZADD and ZREM only
on the leases and the list of registered lines), and only on keys of money and registrations: no configuration, no fund
terms, no epoch. What the NOC orders (HSET, HDEL, INCR, XADD) it may write on keys of their own. SET works on the
version of what the NOC has ordered, and on who has taken a question of it.
PEXPIRE works on reservations and turns alone, HDEL and EXPIREAT on registrations. Arming and restoring
write the epoch, which this user may not, so they fail for it. This is a fence against our own mistakes and against
injection; a node that was taken over could still falsify money in its cell, which reconciliation shows.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from kemi import keys
from kemi.adapters.redis_client import RedisClient

FOLDER: Final = Path(__file__).parent / "functions"
SHEBANG: Final = re.compile(r"#!lua name=(\w+)\n")
PLACEHOLDER: Final = re.compile(r"@(\w+)@")


def sources() -> dict[str, str]:
    """Return library name -> source as it is loaded, for every file and folder in functions/.

    Raises ValueError for one without shebang line or with a placeholder that kemi/keys.py does not know.
    """
    found: dict[str, str] = {}
    for path in sorted(path for path in FOLDER.iterdir() if path.is_dir() or path.suffix == ".lua"):
        parts = sorted(path.glob("*.lua")) if path.is_dir() else [path]
        text = "".join(part.read_text(encoding="utf-8") for part in parts)
        head = SHEBANG.match(text)
        if head is None:
            raise ValueError(f"{path.name}: the first line must be #!lua name=…")
        found[head[1]] = PLACEHOLDER.sub(lambda match: _key(match[1]), text)
    return found


def load(client: RedisClient) -> tuple[str, ...]:
    """Load every library whose source in Redis differs from ours; return the names of those loaded.

    client: of a user that may run FUNCTION. Loading the money library disarms it: `tandem settle` arms again.
    """
    present = _present(client)
    stale = {name: text for name, text in sources().items() if present.get(name) != text}
    for text in stale.values():
        client.execute("FUNCTION", "LOAD", "REPLACE", text)
    return tuple(stale)


def libraries_current(client: RedisClient) -> bool:
    """Return whether Redis holds exactly our sources."""
    present = _present(client)
    return all(present.get(name) == text for name, text in sources().items())


def worker_acl(password: str) -> tuple[str, ...]:
    """Return the rules of the workers' user for `ACL SETUSER <name> …` or a `user <name> …` line of redis.conf.

    password: without white space. The node agent logs in as the same user; it may write the node registry, and say
    during a rebuild which calls it carries: that writes reservations and leases, as its other operations do, no fund.
    It answers the NOC, and can ask no other node.
    """
    read_write = (
        keys.OPSEQ,
        keys.LEASES,
        keys.EVENTS,
        keys.NODES,
        keys.SEEN,
        keys.ADOPTED,
        keys.REGISTERED,
        keys.MOVED,
        keys.MEASURES,
        keys.MEASURED,
        keys.MEASURE_LOG,
    )
    written = (keys.fund_state("*"), keys.reservation("*"), keys.turn("*"), keys.location("*"), keys.noc_answer("*"))
    return (
        "reset",
        "on",
        f">{password}",
        f"%R~{keys.TAG}*",
        *(f"%RW~{pattern}" for pattern in (*written, *read_write)),
        "+@read",
        "-@dangerous",
        "-@blocking",
        *("+fcall", "+fcall_ro", "+ping", "+time", "+info", "+role", "+wait"),
        f"+mset|{keys.OPSEQ}",
        f"+xadd|{keys.EVENTS}",
        *(f"+xadd|{key}" for key in (keys.MOVED, keys.MEASURE_LOG)),
        *(f"+{verb}|{keys.MEASURES}" for verb in ("hset", "hdel")),
        f"+set|{keys.MEASURED}",
        *(f"+{verb}|{key}" for verb in ("zadd", "zrem") for key in (keys.LEASES, keys.REGISTERED)),
        f"+zremrangebyscore|{keys.REGISTERED}",
        f"+hset|{keys.NODES}",
        f"+hset|{keys.SEEN}",
        f"+hset|{keys.ADOPTED}",
        f"(+pexpire %W~{keys.reservation('*')} %W~{keys.turn('*')})",
        f"(+setex %W~{keys.noc_answer('*')})",
        f"(+set %RW~{keys.noc_taken('*')})",
        f"(+hset +hdel +expireat %W~{keys.location('*')})",
    )


def _present(client: RedisClient) -> dict[str, str]:
    """Return library name -> source in Redis. Redis lists fields and values flat."""
    found: dict[str, str] = {}
    for library in client.execute("FUNCTION", "LIST", "WITHCODE"):
        fields = dict(zip(library[::2], library[1::2], strict=True))
        found[fields[b"library_name"].decode()] = fields[b"library_code"].decode()
    return found


def _key(name: str) -> str:
    value = getattr(keys, name, None)
    if callable(value):
        value = value("")
    if not isinstance(value, str):
        raise ValueError(f"@{name}@ stands for nothing in kemi/keys.py")  # noqa: TRY004  wrong data, not a wrong type
    return value
