"""An edge whose calls go where a test says: the decision is the real one, but for the targets and stages of its route.

It runs a copy of the project with one function more. What a real configuration leads to is proved elsewhere.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from kemi.core.outcome import Stage, Target
from kemi.core.targets import ALWAYS_REMOVED
from kemi.records import PinnedTarget
from tests.edge import Edge, running_edge
from tests.kamailio_node import ROOT
from tests.sip import Endpoint, register

CALLER: Final = "+442070000001"
_PLANNED: Final = """

def _planned(route: Route) -> Route:
    import json
    from pathlib import Path

    from kemi import codec
    from kemi.core.outcome import Stage, Target

    plan = Path(__file__).parents[2] / "plan.json"
    if not plan.exists():
        return route
    stages, targets = json.loads(plan.read_text(encoding="utf-8"))
    return route._replace(
        stages=tuple(codec.build(Stage, stage) for stage in stages),
        targets=tuple(codec.build(Target, target) for target in targets),
    )


_start_as_decided = start


def start(ksr: Ksr, route: Route, signed_rid: str, here: Here) -> None:
    _start_as_decided(ksr, _planned(route), signed_rid, here)
"""


class PlannedEdge(NamedTuple):
    """What runs, and where its plan stands."""

    edge: Edge
    plan: Path

    def route(self, stages: list[Stage], targets: list[Target]) -> None:
        """Let all calls from now on take this way."""
        self.plan.write_text(json.dumps([stages, targets]), encoding="utf-8")

    @contextmanager
    def phone(self, line: str, host: str) -> Iterator[Endpoint]:
        """Give a phone of a line; it stays registered."""
        with self.edge.phone(host) as phone:
            assert register(phone, line).status == 200
            yield phone


@contextmanager
def running_planned_edge(folder: Path, ring_max_s: int) -> Iterator[PlannedEdge]:
    """Start all of it and end it. folder: an empty one."""
    shutil.copy(ROOT / "kamailio.cfg", folder)
    shutil.copytree(ROOT / "kemi", folder / "kemi", ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "kemi" / "adapters" / "ksr_hunt.py").open("a", encoding="utf-8") as module:
        module.write(_PLANNED)
    env = {"TANDEM_SLICE_S": "2", "TANDEM_RING_MAX_S": str(ring_max_s), "TANDEM_GRACE_S": "2"}
    with running_edge(env, root=folder) as edge:
        yield PlannedEdge(edge, folder / "plan.json")


def line(address_of_record: str, *, user: str = "", to_uri: str = "") -> Target:
    """Return all phones of a line as a target; the caller is shown in the line's own domain."""
    domain = address_of_record.partition("@")[2]
    return Target(
        kind="local",
        ruri=f"sip:{address_of_record}",
        next_hop="",
        from_uri=f"sip:{CALLER}@{domain}",
        from_display="",
        headers=(),
        remove=ALWAYS_REMOVED,
        pinned=PinnedTarget(0, 0, address_of_record),
        address_of_record=address_of_record,
        user=user,
        to_uri=to_uri,
    )


def server(at: Endpoint, user: str = "box7") -> Target:
    """Return a server that is no carrier's as a target: a media server, or a place of an IP trunk."""
    return Target(
        kind="server",
        ruri=f"sip:{user}@{at.at}",
        next_hop=f"sip:{at.at};transport=udp",
        from_uri=f"sip:{CALLER}@a.example",
        from_display="",
        headers=(),
        remove=ALWAYS_REMOVED,
        pinned=PinnedTarget(0, 0, user),
    )
