"""Calm: the faults stop, and everybody finishes what waits; and the end, when all nodes die."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final
from unittest import mock

from tests.simulation.process import NO_FAULTS
from tests.simulation.settlers import VirtualTime
from tests.simulation.stored import EVENTS
from tests.simulation.stores import SECOND
from tools.settle import cell, rebuild, service, slow, watch
from tools.settle.books import Epoch

if TYPE_CHECKING:
    from tests.simulation.world import World

TURNS: Final = 80
CLOCKED: Final = (service, rebuild, cell, watch, slow)  # they read clocks


def calm_down(world: World) -> None:
    """Let the faults stop, and everybody finish what waits; calls go on."""
    rates, world.rates = world.rates, NO_FAULTS
    world.heal()
    world.start_redis()
    world.late.clear()
    for turn in range(TURNS):  # longer at last: where a clock went back, idle times do not grow for a while
        world.now_us += SECOND // 2 if turn < TURNS // 2 else 40 * SECOND
        for node in world.nodes:
            if node.dead:
                node.start()
            node.stalls_until_us = 0
            world.work(node.agent, node.agent.tick)
        settle(world)
        if not unrest(world):
            break
    world.rates = rates
    world.note("all is calm")


def settle(world: World) -> None:
    """Let sync and settlement have a turn."""
    world.work(world.syncer, world.syncer.step)
    for settler in world.settlers:
        world.work(settler, settler.step)


def unrest(world: World) -> str:
    """Return what is still to be done, for a person; "" = everybody has told everything."""
    stream = world.shim.streams.streams.get(EVENTS)
    group = stream.groups.get(b"settle") if stream else None
    found = [f"{node.name} has not told all" for node in world.nodes if node.agent.waiting or node.spool]
    found += [f"{node.name} does not know yet" for node in world.nodes if node.agent.armed_epoch != world.oracle.epoch]
    is_marked = world.data.epoch == Epoch(world.oracle.epoch or 0, "armed")
    found += [] if is_marked else [f"Postgres is at {world.data.epoch}, Redis is armed for {world.oracle.epoch}"]
    found += [] if world.oracle.is_armed else ["Redis is not armed", *(each.news for each in world.settlers)]
    if stream is not None and (group is None or group.pending or stream.after(group.marks["last"], 1)):
        found.append("events wait in the stream")
    found += [] if world.syncer.is_sure else ["the sync has to look again"]
    return "; ".join((*found, *world.configuration.dirty))


def end(world: World) -> None:
    """Let all nodes die with their calls, and the sweepers end what is left."""
    world.rates = NO_FAULTS
    world.shim.memory_is_full = False
    for node in world.nodes:
        node.kill()
        node.media.clear()
    for _ in range(2 * TURNS):
        world.now_us += 20 * SECOND
        settle(world)
        if not world.oracle.ledger.pending:
            break
    calm_down(world)


@contextmanager
def virtual_time(world: World) -> Iterator[None]:
    """Give settlement the virtual clock, and keep its log quiet."""
    time, log = VirtualTime(world), logging.getLogger("tandem.settle")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    with ExitStack() as stack:
        for module in CLOCKED:
            stack.enter_context(mock.patch.object(module, "time", time))
        try:
            yield
        finally:
            log.setLevel(level)
