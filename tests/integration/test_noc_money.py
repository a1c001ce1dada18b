"""`tandem noc money`: what settlement found last, and words that alarm when it found something, or nothing for long."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tools import noc
from tools.errors import OperatorError

WELL = {"differences": 0, "i1_micros": 0, "i2_micros": 0, "i3_micros": 0, "i4": 0, "poisoned": 0, "funds": 60}


def asked(*words: str) -> tuple[int, str]:
    """Return exit code and output of `tandem noc money`."""
    clean = {"REDIS_URL": "", "TANDEM_CTL": ""}
    result = CliRunner().invoke(noc.noc, ["money", *words], env=clean, catch_exceptions=False)
    if isinstance(result.exception, OperatorError):
        raise result.exception
    return result.exit_code, result.output


def alarms(url: str) -> list[str]:
    """Return the alarms of a Redis; exit code 1 goes with any."""
    code, output = asked("--redis-url", url, "--json")
    found: list[str] = json.loads(output)["alarms"]
    assert code == (1 if found else 0)
    return found


def told(client: RedisClient, age_s: int = 0, round_age_s: int = 0, **numbers: int) -> None:
    """Write the hash as settlement does."""
    seconds, _ = client.execute("TIME")
    times = {"at_ms": (int(seconds) - age_s) * 1000, "round_at_ms": (int(seconds) - round_age_s) * 1000}
    words = [word for name, number in {**WELL, **times, **numbers}.items() for word in (name, number)]
    client.execute("HSET", keys.SETTLED, *words)


def test_a_fresh_comparison_without_differences_is_well(redis_client: RedisClient, redis_url: str) -> None:
    told(redis_client)
    assert alarms(redis_url) == []
    code, output = asked("--redis-url", redis_url)
    assert (code, "ALARM" in output, "0 s ago" in output or "1 s ago" in output) == (0, False, True)


@pytest.mark.parametrize(
    ("age_s", "round_age_s", "numbers", "sentence"),
    [
        (0, 0, {"differences": 2}, "2 differences between Redis and Postgres"),
        (0, 0, {"poisoned": 1}, "1 events of calls are set aside"),
        (3600, 3600, {}, "the last comparison is 36"),
        (0, 3600, {}, "no round over all funds ended for 36"),
    ],
)
def test_what_is_wrong_is_an_alarm(
    redis_client: RedisClient, redis_url: str, age_s: int, round_age_s: int, numbers: dict[str, int], sentence: str
) -> None:
    told(redis_client, age_s, round_age_s, **numbers)
    (alarm,) = alarms(redis_url)
    assert alarm.startswith(sentence)
    assert f"ALARM: {sentence}" in asked("--redis-url", redis_url)[1]


def test_no_comparison_at_all_is_an_alarm(redis_url: str) -> None:
    assert alarms(redis_url) == ["the money was never compared: no `tandem settle` has run on this Redis"]


def test_without_redis_the_node_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node passes on what it read: numbers that may have a fraction of zero, and null before it read any."""
    answers: dict[str, Any] = {"money": None}
    monkeypatch.setattr(noc, "ask", lambda ctl, command: answers if (ctl, command) == ("n1.sock", "money") else {})
    assert asked("--ctl", "n1.sock")[0] == 1
    answers["money"] = {"at_ms": float(time.time_ns() // 1_000_000), "differences": 0.0}
    code, output = asked("--ctl", "n1.sock", "--json")
    assert (code, json.loads(output)["differences"]) == (0, 0)


def test_a_redis_that_does_not_answer_is_one_sentence() -> None:
    with pytest.raises(OperatorError, match="REDIS_URL: Redis does not answer"):
        asked("--redis-url", "unix:///nowhere/redis.sock")
    with pytest.raises(OperatorError, match="TANDEM_CTL is not set"):
        asked()
