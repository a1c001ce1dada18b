"""How long a decision takes: a call over 8 levels, 40 rewrite rules and 30 candidates, everything cached.

    make bench-decide            prints JSON: median and 99th percentile in microseconds
    python -m tests.routing.bench_decide --rounds 20000 --groups 10

Nothing is faked: the pure `decide` over records like those of a node. What a shell adds around it (Kamailio, Redis) is
not in these numbers.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Final

from kemi.core.decide import decide
from kemi.core.outcome import Route
from kemi.core.prefix import bucket_fields
from kemi.core.request import CallRequest
from kemi.records import RateSet
from tests.routing.asking import facts, request
from tests.routing.building import Records
from tests.routing.entities import parse
from tests.routing.tables import Line

LEVELS: Final = 8
REWRITE_RULES: Final = 40
CANDIDATES: Final = 30
MEDIAN_MAX_US: Final = 300
CALLS: Final = 64  # with Call-IDs of their own, so that no draw is remembered


def world(groups: int) -> Iterator[str]:
    """Yield the text of the world. groups: of carriers, which divide the 30 candidates."""
    yield "account a0"
    for level in range(1, LEVELS + 1):
        yield f"account a{level} under a{level - 1} 33={0.01 + level / 100:.2f} 44=0.05"
    yield f"domain a.example of a{LEVELS} rewrite=dialled"
    yield f"line alice@a.example of a{LEVELS} cli=442070000001"
    for rule in range(1, REWRITE_RULES // 2):
        yield f"rewrite {rule} of dialled callee_in '^{rule:02}99(.*)$' '{rule}\\1'"
        yield f"rewrite {100 + rule} of dialled caller_in '^{rule:02}99(.*)$' '{rule}\\1'"
    yield "rewrite 90 of dialled callee_in '^00' '+'"
    yield "rewrite 190 of dialled caller_in '^00' '+'"
    for group in range(groups):
        owner = "a0" if group % 3 else "a4"
        yield f"carrier c{group} of {owner} 33={0.001 + group / 10_000:.4f} 3314={0.002 + group / 10_000:.4f}"
        for server in range(CANDIDATES // groups):
            yield f"server c{group}/s{server} 203.0.{group}.{server + 1}"
        yield f"rule {500 + group} {('33', '331', '3314')[group % 3]} to c{group}"
    yield "destination 3314 240"


def calls(records: Records) -> list[CallRequest]:
    """Return the calls: what alice dials, each with its own Call-ID."""
    line = Line("bench", "", "", ("alice", "0033140000000"), {}, records.entities)
    call = request(line, records)
    return [call._replace(call_id=f"call-{number}") for number in range(CALLS)]


def measure(rounds: int, groups: int) -> dict[str, object]:
    """Return what `rounds` decisions took."""
    records = Records(parse(world(groups), {}))
    known = facts(Line("bench", "", "", (), {}, records.entities), records)
    asked = calls(records)
    first = decide(asked[0], known)
    if not isinstance(first, Route) or len(first.call.legs) != LEVELS or len(first.choices) != CANDIDATES:
        raise SystemExit(f"the call is not the one to be measured: {first}")
    known = known._replace(
        records=dict.fromkeys(first.hold.used) | records.records,
        rates={
            (record.id, field): records.rates.get((record.id, field))
            for record in records.records.values()
            if isinstance(record, RateSet)
            for field in bucket_fields(first.call.callee)
        },
    )
    taken: list[int] = []
    gc.disable()
    for number in range(rounds + CALLS):
        call = asked[number % CALLS]
        begun_ns = perf_counter_ns()
        decision = decide(call, known)
        taken.append(perf_counter_ns() - begun_ns)
        if not isinstance(decision, Route):
            raise SystemExit(f"not a route: {decision}")
    gc.enable()
    taken = sorted(taken[CALLS:])
    return {
        "what": f"decide, {LEVELS} levels, {REWRITE_RULES} rewrite rules, {CANDIDATES} candidates",
        "groups": groups,
        "tried": len(first.targets),
        "rounds": rounds,
        "best_us": round(taken[0] / 1000, 1),
        "median_us": round(taken[len(taken) // 2] / 1000, 1),
        "p99_us": round(taken[len(taken) * 99 // 100] / 1000, 1),
        "target_median_us": MEDIAN_MAX_US,
        "python": platform.python_version(),
        "command": f"python -m tests.routing.bench_decide --rounds {rounds} --groups {groups}",
    }


def main() -> int:
    """Print the measurement as JSON; 1 when the median is above the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=10, help="that the 30 candidates belong to: 1, 2, 3, 5 … 30")
    arguments = parser.parse_args()
    result = measure(arguments.rounds, arguments.groups)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if float(str(result["median_us"])) <= MEDIAN_MAX_US else 1


if __name__ == "__main__":
    sys.exit(main())
