"""The budget of a call: one round trip to Redis when the worker's cache is warm, at most three when it is cold.

A refused call is held by nothing: its one round trip confirms that it is still to be refused.

Counted by Redis itself (MONITOR), not by the counters that the router keeps.
"""

from __future__ import annotations

import secrets
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
import redis

from kemi import keys
from tests.e2e.traffic import sipp
from tools.scenario.run import Endpoint

WARMING: Final = 40  # calls: enough for each of a node's workers to have had some
COUNTED: Final = 10
COLD_MAX: Final = 3
STALE_MAX: Final = 4  # workers that each may have decided once on what another test has just changed
CARRIER, CALLER, NUMBER = "127.1.4.1", "127.1.4.9", "888040000001"  # the trusted caller of scenario 04
UNPRICED: Final = "999040000001"  # no level has a price for it
END: Final = "the calls are over"


@pytest.mark.usefixtures("worlds")
def test_a_warm_call_costs_one_round_trip_and_a_cold_one_three_at_most(endpoint: Endpoint, tmp_path: Path) -> None:
    """Warm workers ask once for each call, to hold; a worker that has seen nothing asks at most three times."""
    cold = _asked_during(endpoint, tmp_path, WARMING)
    assert WARMING <= cold["tandem_reserve_1"] <= WARMING + STALE_MAX
    assert cold["tandem_fetch_1"] <= (COLD_MAX - 1) * WARMING
    warm = _asked_during(endpoint, tmp_path, COUNTED)
    assert warm == {"tandem_reserve_1": COUNTED}


@pytest.mark.usefixtures("worlds")
def test_a_warm_refusal_costs_one_round_trip_and_a_cold_one_no_more_than_a_call(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    """What has just been fetched needs no confirmation."""
    cold = _asked_during(endpoint, tmp_path, WARMING, UNPRICED)
    assert cold.keys() == {"tandem_fetch_1"}
    assert WARMING <= cold["tandem_fetch_1"] <= (COLD_MAX - 1) * WARMING
    warm = _asked_during(endpoint, tmp_path, COUNTED, UNPRICED)
    assert warm.keys() == {"tandem_fetch_1"}
    assert COUNTED <= warm["tandem_fetch_1"] <= COUNTED + STALE_MAX  # a worker may not have had a call before


def _asked_during(endpoint: Endpoint, folder: Path, calls: int, number: str = NUMBER) -> Counter[str]:
    """Return how often the workers' functions were called while `calls` calls were placed."""
    client = redis.Redis.from_url(endpoint.redis_url)
    asked: Counter[str] = Counter()
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        _place(endpoint, folder, calls, number)
        client.echo(END)
        for command in monitor.listen():
            words = str(command["command"]).split()
            if END in str(command["command"]):
                break
            if keys.PEERS not in words:  # the agent looks now and then whom it has to probe: that is of no call
                asked.update(word for word in words[1:2] if word in ("tandem_fetch_1", "tandem_reserve_1"))
    client.close()
    return asked


def _place(endpoint: Endpoint, folder: Path, calls: int, number: str) -> None:
    """Place the calls; all are answered, or refused where they have no price."""
    callees = [sipp(endpoint, folder, "uas-answer.xml", CARRIER, calls=calls)] if number == NUMBER else []
    caller = sipp(
        endpoint, folder, "uac-plain.xml" if callees else "uac-plain-refused.xml", CALLER, "-s", number,
        "-key", "user", "alice", "-key", "domain", "s04.example", "-r", "20", "-d", "100",
        "-cid_str", f"trips-{secrets.token_hex(4)}-%u@tandem", calls=calls,
        edit=lambda text: text.replace("__STATUS__", "403"),
    )  # fmt: skip
    assert caller.wait(60) == 0
    assert all(callee.wait(10) == 0 for callee in callees)
