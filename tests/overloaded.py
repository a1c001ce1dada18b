"""A node that has too much to do, made by force: its workers stand still while datagrams wait for them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CalledProcessError

from tests.edge import Edge


@contextmanager
def standing_still(edge: Edge) -> Iterator[None]:
    """Let the workers of the node's UDP socket do nothing, while the agent measures."""
    told = edge.node.kamcmd("core.psx").split("}")
    workers = [each for each in told if "udp receiver" in each and f"{edge.node.address[1]}" in each]
    pids = [int(each.partition("PID: ")[2].split()[0]) for each in workers]
    assert pids
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def admitted(edge: Edge) -> int:
    """Return how many of 100 new calls the node lets in, as its agent last published it in the workers' table."""
    try:
        told = edge.node.kamcmd("htable.get", "load", "s:admitted")
    except CalledProcessError:
        return 100
    _, found, value = told.partition("value: ")
    return round(float(value.split()[0]) * 100) if found else 100
