"""(a) to (c): what Kamailio does without us."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from kemi.adapters.redis_client import RedisClient
from tools.bench.calls.phones import CALLEE, CALLEE_PORT, DOMAIN, HERE, PASSWORD, PREFIX
from tools.bench.calls.router import NEXT_HOP, Private
from tools.stack import postgres, redis_server
from tools.stack.layout import Address
from tools.tenant.passwords import hashes

SCHEMAS: Final = Path("/usr/share/kamailio/postgres")
TABLES: Final = ("standard", "auth_db", "lcr", "acc")
PRICES: Final = (40_000, 30_000, 20_000, 10_000)
"""Micros of a begun minute, level 1 (the caller's own) to 4."""
RICH: Final = 10**15
SECRET: Final = "bench"  # noqa: S105  of servers that live for this run in a private directory
REDIS_TIMEOUT_MS: Final = 60_000  # of a server whose disk is busy


class Floor(Private):
    """(a) A digest and a relay."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "floor", Address("127.1.230.5", 5060))

    def start(self) -> None:
        """Start Kamailio."""
        self.run_kamailio("floor.cfg", (f'NEXT_HOP="{NEXT_HOP}"', f'PASSWORD="{PASSWORD}"'))


class Sql(Private):
    """(b) Modules of Kamailio and Postgres."""

    def __init__(self, folder: Path, lines: int) -> None:
        super().__init__(folder, "sql", Address("127.1.230.6", 5060))
        self._lines = lines
        self._database: psycopg.Connection[Any] | None = None

    def start(self) -> None:
        """Start Postgres with Kamailio's tables, then Kamailio."""
        self.run(postgres.part(self.layout, self.env))
        postgres.create_database(self.layout)
        self._database = psycopg.connect(postgres.database_url(self.layout), autocommit=True)
        for table in TABLES:
            self._database.execute((SCHEMAS / f"{table}-create.sql").read_bytes())
        self._database.execute(self._world())
        # Kamailio's URLs know no unix socket: libpq takes its directory from the environment where no host is named.
        url = f"postgres://{postgres.SUPERUSER}@/{postgres.DATABASE}"
        defines = (f'DATABASE="{url}"', f'SQLCON="cb=>{url}"')
        self.run_kamailio("sql.cfg", defines, {"PGHOST": str(self.layout.pg_socket_dir)})

    def stop(self) -> None:
        """End its servers."""
        self.thaw()
        if self._database:
            self._database.close()
        super().stop()

    def done(self, label: str, calls: int) -> bool:
        """Whether so many calls have a record."""
        return self.right(label, calls) >= calls

    def right(self, label: str, calls: int) -> int:
        """Return how many records name the account and have a duration."""
        _ = calls
        assert self._database is not None  # noqa: S101  between start and stop
        question = (
            "select count(distinct callid) from acc_cdrs where callid like %s and account_id = '1' and duration > 0"
        )
        found = self._database.execute(question, (f"{label}-%",)).fetchone()
        return int(found[0]) if found else 0

    def _world(self) -> sql.Composed:
        values: Mapping[str, object] = {
            "domain": DOMAIN,
            "password": PASSWORD,
            "subscribers": self._lines,
            "host": CALLEE,
            "port": CALLEE_PORT,
            "prefix": PREFIX,
        }
        text = (HERE / "sql.sql").read_text(encoding="utf-8")
        for name in values:
            text = text.replace(f":{name}", f"{{{name}}}")
        return sql.SQL(text).format(**{name: sql.Literal(value) for name, value in values.items()})


class Lua(Private):
    """(c) Lua and Redis."""

    def __init__(self, folder: Path, lines: int) -> None:
        super().__init__(folder, "lua", Address("127.1.230.7", 5060))
        self._lines = lines
        self._before = dict.fromkeys(range(1, len(PRICES) + 1), 0)
        self._redis = RedisClient(redis_server.admin_url(self.layout, SECRET), REDIS_TIMEOUT_MS)  # asks nothing yet

    def start(self) -> None:
        """Start Redis with the chain and the lines, then Kamailio."""
        (part,) = redis_server.parts(self.layout, self.env, SECRET, ())
        self.run(part)
        self._redis.execute("CONFIG", "SET", "appendfsync", "everysec")
        self._redis.execute("FUNCTION", "LOAD", (HERE / "money.lua").read_text(encoding="utf-8"))
        for level, price in enumerate(PRICES, 1):
            parent = str(level + 1) if level < len(PRICES) else ""
            self._redis.execute(
                *("HSET", f"account:{level}", "parent", parent, "balance", RICH, "held", 0, "charged", 0),
                *("channels", 0, "most", 100_000, "price", price),
            )
        for number in range(1, self._lines + 1):
            user = f"u{number}"
            ha1 = hashes(user, DOMAIN, PASSWORD).md5
            self._redis.execute("HSET", f"line:{user}@{DOMAIN}", "ha1", ha1, "account", 1)
        server = f'REDIS="name=redis;unix={self.layout.redis_socket};db=0"'
        self.run_kamailio("lua.cfg", (f"NEXT_HOP={NEXT_HOP}", server, f'ROUTER="{HERE / "router.lua"}"'))

    def stop(self) -> None:
        """End its servers."""
        self.thaw()
        self._redis.close()
        super().stop()

    def begin(self, label: str) -> None:
        """Note what each level has been charged so far."""
        _ = label
        self._before = {level: self._number(level, "charged") for level in self._before}

    def done(self, label: str, calls: int) -> bool:
        """Whether so many calls were charged; holds of calls that failed on the way may be left."""
        return self.right(label, calls) >= calls

    def right(self, label: str, calls: int) -> int:
        """Return how many calls every level was charged, the least of them."""
        _ = label, calls
        levels = enumerate(PRICES, 1)
        return min((self._number(level, "charged") - self._before[level]) // price for level, price in levels)

    def _number(self, level: int, field: str) -> int:
        return int(self._redis.execute("HGET", f"account:{level}", field))
