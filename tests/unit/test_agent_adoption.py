"""Calls that outlive the agent that let them in: adopted by the next one or by another node, and ended once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kemi import codec
from kemi.adapters.ksr_queue import Message, ProbeAnswered, put
from kemi.adapters.ksr_sides import is_away
from kemi.adapters.redis_operations import MoneyStatus, Operation, Page, Rehold, Reservation, Result
from kemi.agent import Agent
from kemi.agent_ports import Clock
from kemi.agent_takeover import NodeWatch, silent_ns
from kemi.core.sides import CSEQ_LEAP, CSEQ_OURS
from kemi.records import PinnedCall
from tests.fakes import calls as builders
from tests.fakes.ksr import FakeKsr
from tests.unit.test_agent import START_MS, MovableFunds, S, World, rid

SILENT_S = 2


class Another:
    """Another node of the cell, with a clock of its own unless it shares the machine."""

    def __init__(self, world: World, folder: Path, name: str = "n2", boot_id: str = "this boot") -> None:
        self.world = world
        self.ksr = FakeKsr()
        self.offset_ns = 0 if boot_id == world.boot_id else 5_000 * S
        settings = replace(world.settings, node=name, spool_dir=str(folder / name))
        clock = Clock(lambda: world.now_ns + self.offset_ns, lambda: START_MS * 1_000_000 + world.now_ns, boot_id)
        self.agent = Agent(self.ksr, settings, world.store, AsNode(world.funds, name), clock)

    def hear(self, message: Message) -> None:
        """Queue a message as a worker of this node does."""
        put(self.ksr, message)

    @property
    def calls(self) -> int:
        """How many calls it follows, as it told the NOC."""
        return int(json.loads(str(self.ksr.tables["noc"]["agent"]))["calls"])


class AsNode:
    """The money functions as another node asks them."""

    def __init__(self, funds: MovableFunds, node: str) -> None:
        self._funds = funds
        self._node = node

    def batch(self, operations: Sequence[Operation]) -> list[Result]:
        """Apply as this node."""
        before, self._funds.node = self._funds.node, self._node
        try:
            return self._funds.batch(operations)
        finally:
            self._funds.node = before

    def describe(self, rid: str) -> Reservation | None:
        """Describe."""
        return self._funds.describe(rid)

    def described(self, rids: Sequence[str]) -> dict[str, Reservation]:
        """Describe all."""
        return self._funds.described(rids)

    def rehold(self, told: Sequence[Rehold]) -> list[Result]:
        """Take calls as this node knows them."""
        before, self._funds.node = self._funds.node, self._node
        try:
            return self._funds.rehold(told)
        finally:
            self._funds.node = before

    def adopted(self, epoch: int, count: int) -> bool:
        """Hear that this node has told all."""
        before, self._funds.node = self._funds.node, self._node
        try:
            return self._funds.adopted(epoch, count)
        finally:
            self._funds.node = before

    def status(self) -> MoneyStatus:
        """Tell."""
        return self._funds.status()

    def of_node(self, node: str, after: str, limit: int) -> Page:
        """List."""
        return self._funds.of_node(node, after, limit)


def run(to_s: float, *nodes: Another, first: World, with_first: bool = False, step_s: float = 0.05) -> None:
    """Let the turns of these nodes happen until this time."""
    while first.now_ns < int(to_s * S):
        first.now_ns += int(step_s * S)
        first.funds.now_ms = START_MS + first.now_ns // 1_000_000
        if with_first:
            first.agent.tick()
        for node in nodes:
            node.agent.tick()


def reservation(world: World, number: int = 1) -> Reservation:
    found = world.funds.describe(rid(number))
    assert found is not None
    return found


def lives(rid: str, status: int = 200, asked_by: str = "to") -> ProbeAnswered:
    """Return the caller's answer to our question whether the call goes on; asked_by "tag": the called side's."""
    return ProbeAnswered(f"{rid}@caller.example", asked_by, status)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a node whose calls outlive it: leases with ten seconds of grace."""
    return World(tmp_path, slice_s=20, grace_s=10)


def test_a_restarted_node_goes_on_with_its_calls_as_if_nothing_had_been(world: World) -> None:
    """The deadline still counts from the 200; the next slice is asked for in time; the end is exact."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    world.agent = world.new_agent()
    world.run(16)

    assert (world.status()["talking"], world.status()["adopted"], reservation(world).granted_s) == (1, 1, 40)
    assert rid() in world.ksr.tables["calls"]
    world.hear(world.end(rid())._replace(is_followed=False))
    world.run(18)
    (event,) = world.funds.events
    assert (event.kind, event.end.outcome, event.end.billed_s, event.end.server_id) == ("settle", "answered", 16, 31)
    assert world.status()["invalid"] == 0


def test_an_adopted_call_ends_with_its_money_on_both_sides(tmp_path: Path) -> None:
    """25 s are paid. Our BYEs have numbers above whatever was said meanwhile; Kamailio has no dialog to let go."""
    world = World(tmp_path, credit_micros=25_000, slice_s=20, grace_s=10)
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(10)
    world.agent = world.new_agent()
    world.run(25.2)

    byes = [words for words in world.ksr.did("tm.t_uac_send") if words[0] == "BYE"]
    assert [words[1] for words in byes] == ["sip:alice@192.0.2.1", "sip:bob@198.51.100.1"]
    assert f"CSeq: {builders.CALLER.cseq + CSEQ_LEAP + CSEQ_OURS} BYE" in str(byes[1][4])
    assert world.ksr.did("dialog.dlg_set_timeout_id") == []
    (event,) = world.funds.events
    assert (event.end.ended_by, event.end.billed_s, event.postings[0].amount_micros) == ("money", 25, 25_000)
    assert event.end.talk_ms < 25_100
    assert world.ksr.tables["calls"] == {}


def test_a_call_whose_time_was_over_while_nobody_was_there_ends_at_once(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    world.now_ns = 24 * S
    world.agent = world.new_agent()
    world.run(24.3)

    assert [words[0] for words in world.ksr.did("tm.t_uac_send")].count("BYE") == 2
    (event,) = world.funds.events
    assert (event.kind, event.end.billed_s, event.end.ended_by) == ("settle", 20, "node_lost")


def test_after_a_reboot_talk_counts_by_the_clock_of_redis(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    world.boot_id = "the next boot"
    world.agent = world.new_agent()
    world.run(7)
    world.hear(world.end(rid())._replace(is_followed=False))
    world.run(8)

    assert [event.end.billed_s for event in world.funds.events] == [7]


@pytest.mark.parametrize("boot_id", ["this boot", "another machine"])
def test_a_living_node_adopts_the_calls_of_a_silent_one(boot_id: str, world: World, tmp_path: Path) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    other = Another(world, tmp_path, boot_id=boot_id)
    run(4, other, first=world, with_first=True)
    assert other.calls == 0, "a node that lives keeps its calls"

    run(22, other, first=world)
    assert (reservation(world).node, reservation(world).granted_s) == ("n2", 40)
    other.hear(world.end(rid())._replace(is_followed=False, ended_ns=world.now_ns + other.offset_ns))
    run(23, other, first=world)

    (event,) = world.funds.events
    assert (event.kind, event.end.billed_s, event.end.ended_by) == ("settle", 22, "caller")


def test_of_two_adopters_one_gets_the_call(world: World, tmp_path: Path) -> None:
    world.hear(*(message for n in range(5) for message in (world.call(rid(n), granted_s=20), world.answer(rid(n)))))
    world.run(3)
    others = [Another(world, tmp_path, name) for name in ("n2", "n3")]
    run(14, *others, first=world)

    assert sum(other.calls for other in others) == 5
    run(60, *others, first=world)
    assert all(reservation(world, n).granted_s == 80 for n in range(5))


def test_a_node_that_was_only_stalled_lets_go_and_its_word_of_the_end_counts(world: World, tmp_path: Path) -> None:
    """It is frozen for a while; another adopts. Its extension is refused, it ends nothing, and later hears the BYE."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    other = Another(world, tmp_path)
    run(3, other, first=world, with_first=True)
    run(14, other, first=world)
    assert reservation(world).node == "n2"

    run(25, other, first=world, with_first=True)
    assert world.ksr.did("tm.t_uac_send") == []
    assert (world.status()["calls"], world.ksr.tables["calls"]) == (0, {})
    assert is_away(world.ksr, rid()), "a BYE that comes here is as of a call of another node"
    world.hear(world.end(rid())._replace(is_sure=True))
    run(50, other, first=world, with_first=True)

    (event,) = world.funds.events
    assert (event.kind, event.end.billed_s, event.end.ended_by) == ("settle", 25, "caller")
    assert world.funds.leases == {}
    assert other.calls == 0, "it found the call ended"


def test_a_stalled_node_that_hears_the_end_first_settles_exactly(world: World, tmp_path: Path) -> None:
    """Its settlement has a sequence that the adopter has used: it is told again with the next one, not as late."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    other = Another(world, tmp_path)
    run(3, other, first=world, with_first=True)
    run(12, other, first=world)
    world.hear(world.end(rid()))
    run(40, other, first=world, with_first=True)

    assert [(event.kind, event.end.billed_s) for event in world.funds.events] == [("settle", 12)]


def test_what_the_last_life_left_to_tell_is_told_before_anything_is_adopted(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    world.funds.down = True
    world.hear(world.end(rid()))
    world.run(4)
    world.agent = world.new_agent()
    world.run(5)
    world.funds.down = False
    world.run(7)

    assert [(event.kind, event.end.billed_s) for event in world.funds.events] == [("settle", 3)]
    assert (world.status()["adopted"], world.status()["spool"]) == (0, 0)


def test_an_adoption_that_redis_did_not_take_is_tried_again(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    world.agent = world.new_agent()
    world.funds.armed_epoch = 0
    world.run(5)
    assert world.status()["talking"] == 0
    world.funds.arm(1)
    world.run(7)

    assert (world.status()["talking"], world.status()["adopted"]) == (1, 1)


def test_an_adoption_whose_answer_got_lost_is_found_again(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    world.agent = world.new_agent()
    world.funds.lost = 1
    world.run(6)

    assert world.status()["talking"] == 1


def test_who_cannot_be_told_that_it_is_over_is_left_to_the_sweeper(world: World) -> None:
    """Sides too long for Redis, a call that cannot be read, one that nobody answered."""
    answer = world.answer(rid(1))
    long = answer._replace(callee=answer.callee._replace(route=("sip:" + "x" * 500 + ";lr",) * 9))
    world.hear(world.call(rid(1), granted_s=20), long, world.call(rid(2), granted_s=20))
    world.hear(world.call(rid(3), granted_s=20), world.answer(rid(3)))
    world.run(3)
    world.funds.spoil(rid(3))
    world.agent = world.new_agent()
    world.run(6)

    assert (world.status()["calls"], world.status()["errors"]) == (0, 0)


def test_a_call_that_goes_on_pays_for_each_hour_of_its_talk(tmp_path: Path) -> None:
    """Also the next agent goes on where the last one stopped; the sum is the price of the call."""
    world = World(tmp_path, slice_s=40, part_s=100, grace_s=10)
    world.hear(world.call(rid(), granted_s=40), world.answer(rid()))
    world.run(150)
    world.agent = world.new_agent()
    for to_s in (160, 200, 250.5):
        world.run(to_s)
        world.hear(lives(rid()))
    world.hear(world.end(rid())._replace(is_followed=False))
    world.run(252)

    parts = [(event.kind, event.billed_before_s, event.end.billed_s) for event in world.funds.events]
    assert parts == [("part", 0, 100), ("part", 100, 200), ("settle", 200, 251)]
    assert [event.end.outcome for event in world.funds.events] == ["talking", "talking", "answered"]
    assert [event.postings[0].amount_micros for event in world.funds.events] == [100_000, 100_000, 51_000]
    assert (world.status()["invalid"], world.funds.states["5:EUR"].held) == (0, 0)


@pytest.mark.parametrize("down", [False, True])
def test_a_call_pays_shortly_before_a_day_ends(tmp_path: Path, *, down: bool) -> None:
    """What is talked before counts before, what comes after is another part, also where Redis was away at midnight."""
    world = World(tmp_path, slice_s=100, part_s=100, grace_s=60)
    held, ends_ms = world.call(rid(), granted_s=100), (START_MS + 50_000, START_MS + 130_400)
    pinned = codec.unpack(PinnedCall, held.pinned)._replace(part_at_ms=ends_ms)
    world.hear(held._replace(pinned=codec.pack(pinned)), world.answer(rid()))
    world.run(45)
    world.funds.down = down
    world.run(49.5)
    assert len(world.funds.events) == (0 if down else 1)
    world.run(55)
    world.funds.down = False
    world.run(135)

    events = world.funds.events
    assert [(event.billed_before_s, event.end.billed_s) for event in events] == [(0, 49), (49, 100), (100, 129)]
    assert [event.end.ended_ms - START_MS for event in events] == [49_000, 100_000, 129_000]
    assert world.status()["invalid"] == 0


def test_a_part_that_redis_does_not_take_is_made_up_for(tmp_path: Path) -> None:
    world = World(tmp_path, slice_s=100, part_s=50, grace_s=10)
    world.hear(world.call(rid(), granted_s=100), world.answer(rid()))
    world.run(45)
    world.funds.down = True
    world.run(60)
    assert world.status()["spool"] == 0
    world.funds.down = False
    world.run(70)
    world.funds.lost = 1
    world.run(110)

    assert [(event.billed_before_s, event.end.billed_s) for event in world.funds.events] == [(0, 50), (50, 100)]
    assert reservation(world).granted_s == 200


@pytest.mark.parametrize(("asked_by", "by"), [("to", "caller"), ("tag", "callee")])
def test_an_adopted_call_that_a_side_knows_nothing_of_is_over_at_once(asked_by: str, by: str, world: World) -> None:
    """Its BYE came when nobody was there. Both sides are asked when it is adopted."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    world.agent = world.new_agent()
    world.run(5)
    assert [words[0] for words in world.ksr.did("tm.t_uac_send")] == ["OPTIONS", "OPTIONS"]
    world.hear(lives(rid(), 481, asked_by))
    world.run(6)

    (event,) = world.funds.events
    assert (event.kind, event.end.ended_by, event.end.billed_s, event.end.outcome) == ("settle", by, 6, "answered")
    assert [words[0] for words in world.ksr.did("tm.t_uac_send")][2:] == ["BYE", "BYE"]
    assert world.status()["calls"] == 0


def test_an_adopted_call_that_nobody_answers_for_ends_with_its_last_sign_of_life(world: World) -> None:
    """Whatever a side answers, it lives; our own time-out (408) is no answer."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    world.agent = world.new_agent()
    for to_s, status in ((10, 408), (40, 405), (70, 408)):
        world.run(to_s)
        world.hear(lives(rid(), status))
    world.run(155)

    (event,) = world.funds.events
    assert (event.kind, event.end.ended_by, event.end.billed_s) == ("settle", "", 41)
    cseqs = [str(words[4]).partition("CSeq: ")[2].split()[0] for words in world.ksr.did("tm.t_uac_send")]
    assert [int(cseq) for cseq in cseqs[::2]] == sorted({int(cseq) for cseq in cseqs[::2]}), "rising, the BYE highest"


def test_a_call_of_our_own_is_never_asked_for(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(100)

    assert world.ksr.did("tm.t_uac_send") == []


def test_the_noc_sees_how_settlement_finds_the_money(world: World) -> None:
    world.run(2)

    assert world.ksr.tables["noc"]["money"] == '{"funds": 3, "drift_micros": -5}'


def test_a_silent_node_is_one_whose_sign_stood_still_while_we_could_see_it() -> None:
    watch = NodeWatch("n1", SILENT_S * S)
    seen = [watch.see({"n1": 7, "n2": 1_000 + at, "n3": 5}, at * S) for at in range(1, 6)]
    assert seen == [[], [], ["n3"], [], []]
    later = {"n1": 7, "n2": 1_005, "n3": 6}
    assert watch.see(later, 6 * S) == [], "it is back"
    assert watch.see(later, 60 * S) == [], "we were away ourselves"
    assert watch.see(later, 61 * S) == []
    assert sorted(watch.see(later, 62 * S)) == ["n2", "n3"]
    assert [silent_ns(grace_s) // S for grace_s in (1, 6, 10, 600)] == [2, 3, 5, 5]


def test_what_an_adoption_asks_is_within_the_lease_of_the_talk(world: World) -> None:
    """The lease is that of the granted talk: the sweeper waits for it as for any call."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    before = reservation(world).lease_ms
    world.agent = world.new_agent()
    world.run(4)

    assert before <= reservation(world).lease_ms <= before + 1_000
