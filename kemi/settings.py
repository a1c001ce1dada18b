"""What the operator sets for a node, read once from the environment, validated, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

SECRET_BYTES_MIN = 16


class SettingsError(ValueError):
    """A setting is missing or out of range; the message names it, its value and what is allowed."""


class Limits(NamedTuple):
    """Bounds that the decision obeys.

    max_call_s: hard maximum duration, ≤ 24 h. slice_s: talk time granted at once. attempts_max: servers tried
    per call. ring_max_s: how long one attempt may ring. part_s: a call that goes on pays each time it has talked
    so long. expected_s: how long a call is expected to last where its destination says nothing. contacts_max: phones
    that a line may have registered, ≤ 30. expires_min_s, expires_max_s: bounds of a registration. alive_s: how often
    both sides of a call are asked whether it still goes on, 0 = never.
    """

    max_call_s: int = 14_400
    slice_s: int = 60
    nonce_expire_s: int = 300
    attempts_max: int = 5
    ring_max_s: int = 120
    part_s: int = 3_600
    expected_s: int = 180
    contacts_max: int = 10
    expires_min_s: int = 30
    expires_max_s: int = 3_600
    alive_s: int = 900


@dataclass(frozen=True, slots=True)
class Settings:
    """One node's settings.

    node: name of the node, [a-z0-9-]{1,32}, unique in the cell. secret: shared by all nodes of the cell.
    grace_s: how long a lease outlives its slice. redis_timeout_ms: longest wait for Redis in a worker.
    wait_replicas: how many replicas of Redis must have an operation on money before it counts as done.
    shed_delay_ms: how long a datagram may wait for a worker before new calls are shed, 0 = none ever is.
    cache_mb: what each process keeps of the configuration, in MiB as kemi/adapters/cache.py reckons.
    call_log_max: lines a second that the log gets of calls that ended alike, 0 = none at all.
    listen, listen6: where SIP is heard, `host:port` and `[host]:port`; "" = no IPv6. listen_more: where else, likewise:
    further sockets, each address of one on all addresses, and what the world calls them behind a NAT.
    spool_dir: where the agent keeps what Redis does not take. A slice below 30 s is too short for adoptions: calls of a
    node that stands still may be over before another one knows (agent_slices.LEAD_MAX_S, agent_takeover.silent_ns).
    """

    node: str
    redis_url: str
    secret: bytes
    spool_dir: str
    listen: str
    limits: Limits
    grace_s: int = 10
    redis_timeout_ms: int = 80
    listen6: str = ""
    listen_more: tuple[str, ...] = ()
    wait_replicas: int = 0
    cache_mb: int = 64
    call_log_max: int = 20
    shed_delay_ms: int = 100

    @property
    def listens(self) -> tuple[str, ...]:
        """Where SIP is heard, without what is not."""
        return tuple(filter(None, (self.listen, self.listen6, *self.listen_more)))

    @staticmethod
    def from_environment(env: Mapping[str, str]) -> Settings:
        """Return the settings in `env` (TANDEM_NODE, REDIS_URL, TANDEM_SECRET, …).

        Raises SettingsError that names the variable.
        """
        secret = _text(env, "TANDEM_SECRET").encode()
        if len(secret) < SECRET_BYTES_MIN:
            msg = f"TANDEM_SECRET: {len(secret)} bytes, at least {SECRET_BYTES_MIN} are needed"
            raise SettingsError(msg)
        return Settings(
            node=_text(env, "TANDEM_NODE"),
            redis_url=_text(env, "REDIS_URL"),
            secret=secret,
            spool_dir=_text(env, "TANDEM_SPOOL"),
            listen=_text(env, "TANDEM_LISTEN"),
            limits=Limits(
                max_call_s=_number(env, "TANDEM_MAX_CALL_S", 14_400, 1, 86_400),
                slice_s=_number(env, "TANDEM_SLICE_S", 60, 1, 3_600),
                nonce_expire_s=_number(env, "TANDEM_NONCE_EXPIRE_S", 300, 10, 3_600),
                attempts_max=_number(env, "TANDEM_ATTEMPTS_MAX", 5, 1, 16),
                ring_max_s=_number(env, "TANDEM_RING_MAX_S", 120, 1, 180),
                part_s=_number(env, "TANDEM_PART_S", 3_600, 1, 86_400),
                expected_s=_number(env, "TANDEM_EXPECTED_S", 180, 1, 3_600),
                contacts_max=_number(env, "TANDEM_CONTACTS_MAX", 10, 1, 30),
                expires_min_s=_number(env, "TANDEM_EXPIRES_MIN_S", 30, 1, 86_400),
                expires_max_s=_number(env, "TANDEM_EXPIRES_MAX_S", 3_600, 1, 86_400),
                alive_s=_number(env, "TANDEM_ALIVE_S", 900, 0, 86_400),
            ),
            grace_s=_number(env, "TANDEM_GRACE_S", 10, 1, 600),
            redis_timeout_ms=_number(env, "TANDEM_REDIS_TIMEOUT_MS", 80, 5, 1_000),
            listen6=env.get("TANDEM_LISTEN6", ""),
            listen_more=tuple(env.get("TANDEM_LISTEN_MORE", "").split()),
            wait_replicas=_number(env, "TANDEM_WAIT_REPLICAS", 0, 0, 5),
            cache_mb=_number(env, "TANDEM_CACHE_MB", 64, 8, 16_384),
            call_log_max=_number(env, "TANDEM_CALL_LOG_MAX", 20, 0, 10_000),
            shed_delay_ms=_number(env, "TANDEM_SHED_DELAY_MS", 100, 0, 500),
        )


def _text(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        msg = f"{name} is not set"
        raise SettingsError(msg)
    return value


def _number(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name, str(default))
    if not text.isdecimal() or not low <= int(text) <= high:
        msg = f"{name}: {text!r} is not a whole number from {low} to {high}"
        raise SettingsError(msg)
    return int(text)
