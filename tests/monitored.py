"""A running node with its page for Prometheus, and what is on it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from kemi import keys
from kemi.records import Login, Peers
from tests.edge import SOON_S, Edge, running_edge
from tests.fakes.world import ACME, ACME_1, BELL
from tests.fix_stack import free_address
from tests.wait import until

LOGIN: Final = Login("tandem", "acme.example", "0" * 32, register_s=600, contact_user="trunk-7")
TOLD: Final = {"state": "live", "outbox": 0, "outbox_s": 0.0, "drift": 0, "wrong": 0, "held": ""}
MONEY: Final = {"differences": 0, "poisoned": 0, "events_waiting": 3, "expired": 0}


@contextmanager
def monitored_edge() -> Iterator[tuple[Edge, int]]:
    """Start a node that all has been told of, and yield it with the port of its page."""
    port = free_address().port
    with running_edge(defines={"METRICS": port}) as edge:
        edge.admin.execute("SET", keys.SYNC_STATUS, json.dumps(TOLD))
        seconds, _ = edge.admin.execute("TIME")
        now = {"at_ms": int(seconds) * 1000, "round_at_ms": int(seconds) * 1000}
        for name, value in {**MONEY, **now}.items():
            edge.admin.execute("HSET", keys.SETTLED, name, value)
        edge.writer.write({keys.PEERS: Peers((ACME, BELL))})
        edge.change(ACME_1, probe=True, login=LOGIN)
        edge.node.kamcmd("htable.sets", "health", "s:99", "s:down")
        wanted = {"tandem_money_events_waiting", "tandem_server_up", "tandem_login_up", "tandem_server_passed_over"}
        until(lambda: wanted <= {sample.name for sample in samples(port)}, SOON_S, "the agent to have told all")
        yield edge, port


def page(port: int) -> str:
    """Return the page as it is written."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"
        return str(answer.read().decode())


def samples(port: int) -> list[Sample]:
    """Return what is on the page, as Prometheus' own parser reads it."""
    families = text_string_to_metric_families(page(port))
    return [sample for family in families for sample in family.samples]
