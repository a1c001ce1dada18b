"""The phones of a call: they ring, are answered, talk and hang up, whatever becomes of the machines between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kemi.adapters.ksr_queue import Ended, Failed, HangUp, Started
from kemi.core.sides import Side
from kemi.records import Attempt
from tests.simulation.pinning import LIMITS

if TYPE_CHECKING:
    from tests.simulation.node import Node

SIDE: Final = Side("tag", "sip:a@a.example", "192.0.2.1", "sip:192.0.2.1")
ELSEWHERE: Final = 0.1  # share of BYEs that come in at another node, or at this one after a restart: nobody knows them
NOC: Final = 0.05
RING_MAX_NS: Final = LIMITS.ring_max_s * 1_000_000_000


@dataclass
class Media:
    """A call as the phones see it. asked_ns, answered_ns: of the monotonic clock, 0 = it rings yet."""

    rid: str
    asked_ns: int
    answered_ns: int = 0


def happen(node: Node, others: list[Node]) -> str:
    """Let something happen to one of the node's calls; return what."""
    rng = node.world.rng
    if not node.media:
        return ""
    media = node.media[rng.choice(list(node.media))]
    if media.answered_ns:
        return _talked(node, others, media)
    now_ns, now_ms = node.now()
    if now_ns - media.asked_ns < RING_MAX_NS and rng.random() < 0.8:
        media.answered_ns = now_ns
        place, server_id = _answerer(node, media.rid)
        node.queue.append(Started(media.rid, 1, 2, SIDE, SIDE, server_id, (), now_ns, now_ms, place=place))
        return f"{media.rid} is answered"
    del node.media[media.rid]
    cancelled = rng.random() < 0.5
    node.queue.append(Failed(media.rid, 487 if cancelled else 503, cancelled, (Attempt(1, 503),), now_ms))
    return f"{media.rid} fails"


def _answerer(node: Node, rid: str) -> tuple[int, int]:
    """Return who answers: the place of the target, and its server. Nodes of the first release tell no place."""
    rng, asked = node.world.rng, node.world.pins.get(rid)
    if node.world.first_nodes or asked is None or not any(target.joins for target in asked.call.targets):
        return -1, rng.choice((0, 1))
    place = rng.randrange(len(asked.call.targets))
    return place, asked.call.targets[place].server_id


def _talked(node: Node, others: list[Node], media: Media) -> str:
    rng = node.world.rng
    if rng.random() < node.world.talks_on:
        return ""
    if rng.random() < NOC:
        node.queue.append(HangUp(media.rid))
        return f"{media.rid} is to be hung up"
    del node.media[media.rid]
    to = node
    if node.dead or rng.random() < ELSEWHERE:
        to = rng.choice([node, *others])
    if to.dead:
        return f"{media.rid} hangs up, and nobody hears it"
    now_ns, now_ms = to.now()
    is_followed = to is node and not node.dead
    to.queue.append(Ended(media.rid, rng.choice(("caller", "callee")), now_ns, now_ms, is_followed=is_followed))
    return f"{media.rid} hangs up at {to.name}"
