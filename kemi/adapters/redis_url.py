"""What is said of a REDIS_URL that cannot be read (apart: who says it need not load redis-py)."""

from __future__ import annotations


class RedisUrlError(ValueError):
    """The address of Redis cannot be read; it may hold a password, so the message does not show it."""
