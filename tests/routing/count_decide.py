"""How many bytecode instructions a decision takes, by function: a figure that no busy machine changes.

    python -m tests.routing.count_decide                usual call: 2 levels, 2 rewrite rules, 3 servers of one carrier
    python -m tests.routing.count_decide --bench        the call of bench_decide
    python -m tests.routing.count_decide --top 40

Counted is the third call of a line, each to a number of its own, with the cache of a worker: what follows from records
is made by then, what follows from the number is not. What happens inside functions of C is not counted.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from kemi.adapters.cache import CACHE_BYTES, Cache
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import reserve_id
from kemi.codec import pack
from kemi.core.decide import decide
from kemi.core.outcome import Route
from kemi.core.prefix import bucket_fields
from kemi.core.request import CallRequest, Facts
from kemi.records import RateSet
from tests.routing import bench_decide
from tests.routing.asking import facts, request
from tests.routing.building import Records
from tests.routing.entities import parse
from tests.routing.tables import Line

DIALLED: Final = "003314000000"
LEASE_S: Final = 120
NODE_PASS: Final = 7


class Unarmed:
    """A client whose Redis takes no money: it answers at once, so that only our own work is counted."""

    def fcall(self, _name: str, _keys: tuple[str, ...], args: tuple[Any, ...]) -> list[Any]:
        """Answer as a function does: the id that was sent, a word, a number."""
        return [str(args[0]).encode(), b"UNARMED", 1]


def usual() -> Iterator[str]:
    """Yield the text of the usual call's world."""
    yield "account a0"
    yield "account a1 under a0 33=0.02"
    yield "account a2 under a1 33=0.03"
    yield "domain a.example of a2 rewrite=dialled"
    yield "line alice@a.example of a2 cli=442070000001"
    yield "rewrite 90 of dialled callee_in '^00' '+'"
    yield "rewrite 190 of dialled caller_in '^00' '+'"
    yield "carrier c0 of a0 33=0.001 3314=0.002"
    for server in range(3):
        yield f"server c0/s{server} 203.0.113.{server + 1}"
    yield "rule 500 33 to c0"


def counted(work: Callable[[], object]) -> Counter[str]:
    """Return how many instructions each function took while `work` ran: "module:function" -> count."""
    counts: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            code = frame.f_code
            counts[f"{code.co_filename.rpartition('/')[2].removesuffix('.py')}:{code.co_qualname}"] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    del counts[f"count_decide:{work.__qualname__}"]
    return counts


def asked(world: Iterator[str]) -> tuple[list[CallRequest], Facts]:
    """Return calls that differ in Call-ID and number, and facts that hold all of a world as a worker's cache would."""
    records = Records(parse(world, {}))
    lines = [
        Line("count", "", "", ("alice", f"{DIALLED}{number}"), {"call": f"call-{number}"}, records.entities)
        for number in range(3)
    ]
    calls, known = [request(line, records) for line in lines], facts(lines[0], records)
    pinned: dict[str, object | None] = {}
    cache = Cache(CACHE_BYTES, pinned.__getitem__)
    for each in calls:
        route = decide(each, known)
        if not isinstance(route, Route):
            raise SystemExit(f"the call is not the one to be counted: {route}")
        for name in route.hold.used:
            cache.put(name, records.records.get(name), 0)
        sets = [record.id for record in records.records.values() if isinstance(record, RateSet)]
        for key in [(set_id, field) for set_id in sets for field in bucket_fields(route.call.callee)]:
            cache.put_bucket(key, records.rates.get(key))
    return calls, known._replace(records=cache.records, rates=cache.rates)


def count(world: Iterator[str]) -> tuple[Counter[str], Counter[str]]:
    """Return the instructions of a decision, and those of what the worker packs for its hold."""
    calls, known = asked(world)
    client: Any = Unarmed()
    funds = Funds(client, known.node, LEASE_S)
    routes: list[Route] = []

    def decision() -> None:
        route = decide(calls[-1], known)
        if isinstance(route, Route):
            routes.append(route)

    def hold() -> None:
        route = routes[-1]
        funds.reserve(reserve_id(route.call.rid), route.call.rid, route.hold, LEASE_S, NODE_PASS, pack(route.call))

    for call in calls[:-1]:
        route = decide(call, known)
        if isinstance(route, Route):
            routes.append(route)
            hold()
    return counted(decision), counted(hold)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", action="store_true", help="the call of bench_decide: 8 levels, 30 servers")
    parser.add_argument("--top", type=int, default=30, help="how many functions of each part are shown")
    arguments = parser.parse_args()
    counts = count(bench_decide.world(10) if arguments.bench else usual())
    for part, of_part in zip(("decide", "hold"), counts, strict=True):
        sys.stdout.write(f"{part} {of_part.total()}\n")
        for name, instructions in of_part.most_common(arguments.top):
            sys.stdout.write(f"{instructions:8} {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
