"""The order of a start: what runs, and what is done in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import psycopg

from kemi import keys
from kemi.adapters import redis_functions
from kemi.adapters.redis_client import FunctionFailed, RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Funds
from tools.errors import OperatorError
from tools.stack import checks, kamailio, postgres, redis_server, rtpengine, state
from tools.stack.layout import PROJECT, Layout, venv_bin
from tools.stack.parts import Part, Plan, Step
from tools.wait import DeadlineError, until

SEED = PROJECT / "sql" / "seed"
MIGRATE_DEADLINE_S = 300
REDIS_TIMEOUT_MS = 5_000
PROBE_TIMEOUT_MS = 300
REPLICA_S = 15
SETTLE_START_S = 180
"""A node that is not there any more is waited for as long as its calls may live: slice and grace."""


def make(layout: Layout, env: Mapping[str, str], only: Iterable[str] = ()) -> Plan:
    """Return the whole start, or the parts named by `only`. Raises OperatorError for a name that is no part."""
    values = environment(layout)
    child_env = {**_clean(env), **values}
    tandem, secret = str(venv_bin() / "tandem"), state.secret(layout.secret_file)
    worker_password = redis_server.password(secret, redis_server.WORKER)
    plan: Plan = (
        postgres.part(layout, child_env),
        Step("making the database", "postgres", lambda _: postgres.create_database(layout)),
        Step(
            "applying the migrations",
            "postgres",
            lambda run: run("migrate", (tandem, "migrate"), child_env, MIGRATE_DEADLINE_S),
        ),
        Step("loading the demo world", "postgres", lambda _: _load_demo_world(values["DATABASE_URL"])),
        *redis_server.parts(layout, child_env, secret, redis_functions.worker_acl(worker_password)),
        Step("loading the functions of Redis", "redis", lambda _: _load_functions(values["REDIS_URL"])),
        Part("sync", (tandem, "sync"), child_env, ready=partial(_synced, values["REDIS_URL"]), start_s=60),
        Part(
            "settle",
            (tandem, "settle"),
            child_env,
            ready=partial(_armed, values["REDIS_URL"]),
            start_s=SETTLE_START_S,
            is_awaited=False,  # it may have to hear which calls the nodes have
        ),
        *rtpengine.parts(layout, child_env),
        *(
            kamailio.part(node, child_env, secret, values["TANDEM_WORKER_REDIS_URL"], layout.relay)
            for node in layout.nodes
        ),
    )
    return _only(plan, frozenset(only))


def environment(layout: Layout) -> dict[str, str]:
    """Return what an outside program needs to join the stack, the content of `.run/env`."""
    node, secret = layout.nodes[0], state.secret(layout.secret_file)
    return {
        "RUN_DIR": str(layout.run_dir),
        "DATABASE_URL": postgres.database_url(layout),
        "REDIS_URL": redis_server.admin_url(layout, secret),
        "TANDEM_WORKER_REDIS_URL": redis_server.worker_url(layout, secret),
        "TANDEM_SIP": str(node.address),
        "TANDEM_SIP6": str(node.address6 or ""),
        "TANDEM_CTL": f"unix:{node.ctl}",
        "TANDEM_NODE": node.name,
    }


def check(layout: Layout, env: Mapping[str, str], only: Iterable[str] = ()) -> None:
    """Check versions, ports and disk. Raises OperatorError with what to do."""
    checks.versions(env)
    if not (names := frozenset(only)) or any(node.part in names for node in layout.nodes):
        checks.ports(layout)
    if not names or names & {server.name for server in layout.redis_servers}:
        checks.redis_ports(layout)
    checks.disk(layout)


def _clean(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every process: ours and the settings, nothing else of the user's.

    A PGPORT, PYTHONPATH or LANG of the shell must not change what the stack does.
    """
    settings = {name: value for name, value in env.items() if name.startswith("TANDEM_")}
    path = f"{venv_bin()}:{checks.SYSTEM_PATH}"
    return {**settings, "PATH": path, "LANG": "C.UTF-8", "HOME": env.get("HOME", "/")}


def _load_demo_world(database_url: str) -> None:
    """Load the words for writing worlds at every start, and the demo world where there is no world yet."""
    try:
        with psycopg.connect(database_url) as connection:
            connection.execute((SEED / "world.sql").read_bytes())
            if connection.execute("SELECT FROM tandem.account LIMIT 1").fetchone() is None:
                connection.execute((SEED / "demo.sql").read_bytes())
    except psycopg.Error as error:
        raise OperatorError(f"the demo world does not load: {str(error).strip()}") from error


def _load_functions(redis_url: str) -> None:
    """Load them as soon as Redis takes writes: with replicas, once one of these has shown a sign of life."""
    try:
        until(partial(_take_functions, redis_url), REPLICA_S, "a replica that follows Redis")
    except (StoreUnavailable, DeadlineError) as error:
        raise OperatorError(f"Redis does not take our functions: {error}") from error


def _take_functions(redis_url: str) -> bool:
    client = RedisClient(redis_url, REDIS_TIMEOUT_MS)
    try:
        redis_functions.load(client)
    except FunctionFailed as error:
        if not error.text.startswith("NOREPLICAS"):
            raise
        return False
    finally:
        client.close()
    return True


def _synced(redis_url: str) -> bool:
    """Whether a first pass of configuration is in Redis."""
    return bool(redis_server.ask(redis_url, "EXISTS", keys.PASS) == 1)


def _armed(redis_url: str) -> bool:
    """Whether the money functions take operations."""
    client = RedisClient(redis_url, PROBE_TIMEOUT_MS)
    try:
        return Funds(client, "stack", grace_s=1).status().armed
    except StoreUnavailable:
        return False
    finally:
        client.close()


def _only(plan: Plan, names: frozenset[str]) -> Plan:
    parts = {item.name for item in plan if isinstance(item, Part)}
    if unknown := names - parts:
        raise OperatorError(f"no such part: {', '.join(sorted(unknown))}; the parts are {', '.join(sorted(parts))}")
    if not names:
        return plan
    return tuple(item for item in plan if (item.name if isinstance(item, Part) else item.of) in names)
