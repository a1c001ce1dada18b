"""The node agent's turns, with Kamailio, Redis and the clock in the test's hands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kemi import codec, keys
from kemi.adapters import ksr_measures
from kemi.adapters.ksr_measures import Orders
from kemi.adapters.ksr_queue import Ended, Failed, Held, Refused, Started, Told, put
from kemi.adapters.redis_client import StoreUnavailable
from kemi.adapters.redis_operations import (
    FundTerms,
    MoneyStatus,
    Operation,
    Page,
    Rehold,
    Reservation,
    Result,
    Settle,
)
from kemi.agent import Agent
from kemi.agent_ports import Clock
from kemi.core.outcome import Hold, HoldFund, HoldRow
from kemi.core.rating import schedule
from kemi.records import PinnedCall, Rate
from kemi.settings import Limits, Settings
from tests.fakes import calls as builders
from tests.fakes.funds import FakeFunds
from tests.fakes.ksr import FakeKsr

S = 1_000_000_000
START_MS = 1_770_000_000_000
RATE = Rate(per_min_micros=60_000)
FUND = "5:EUR"


class MovableFunds(FakeFunds):
    """The money functions, which the test takes away and gives back. lost: answers that do not arrive."""

    def __init__(self, grace_s: int = 2) -> None:
        super().__init__(node="n1", grace_s=grace_s)
        self.down = False
        self.lost = 0
        self.batches: list[int] = []

    def batch(self, operations: Sequence[Operation]) -> list[Result]:
        """Apply, unless down; an answer may be lost on its way."""
        self._fail()
        self.batches.append(len(operations))
        results = super().batch(operations)
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("no answer", maybe_applied=True)
        return results

    def describe(self, rid: str) -> Reservation | None:
        """Describe, unless down."""
        self._fail()
        return super().describe(rid)

    def of_node(self, node: str = "", after: str = "", limit: int = 100) -> Page:
        """List, unless down."""
        self._fail()
        return super().of_node(node, after, limit)

    def described(self, rids: Sequence[str]) -> dict[str, Reservation]:
        """Describe all, unless down."""
        self._fail()
        return super().described(rids)

    def rehold(self, told: Sequence[Rehold]) -> list[Result]:
        """Take calls, unless down."""
        self._fail()
        return super().rehold(told)

    def adopted(self, epoch: int, count: int) -> bool:
        """Hear that all are told, unless down."""
        self._fail()
        return super().adopted(epoch, count)

    def status(self) -> MoneyStatus:
        """Tell, unless down."""
        self._fail()
        return super().status()

    @property
    def epochs(self) -> tuple[int, int]:
        """The epoch of the key, and the one that is being built."""
        return self.epoch, self.building

    def spoil(self, rid: str) -> None:
        """Make the pinned call of a reservation unreadable."""
        self._rows[rid].pinned = b"\xc1"

    def _fail(self) -> None:
        if self.down:
            raise StoreUnavailable("down", maybe_applied=False)


class Store:
    """The connection: TIME, the heartbeat and the version of the configuration."""

    def __init__(self, funds: MovableFunds) -> None:
        self._funds = funds
        self.nodes: dict[bytes, int] = {}
        self.round_trips = 0
        self.connections = 1
        self.written: list[tuple[Any, ...]] = []
        self.measures: dict[bytes, bytes] = {}

    @property
    def breaker_is_open(self) -> bool:
        """Down as the funds are."""
        return self._funds.down

    def available(self) -> bool:
        """Up as the funds are."""
        return not self._funds.down

    def execute(self, *words: Any) -> Any:
        """Answer TIME with the fake's clock."""
        self.round_trips += 1
        self.written.append(words)
        match words:
            case ("MGET", keys.PASS, keys.EPOCH, keys.BUILDING, keys.MEASURED):
                epochs = (str(number).encode() if number else None for number in self._funds.epochs)
                return [b"7", *epochs, str(len(self.measures)).encode() if self.measures else None]
            case ("HGETALL", keys.MEASURES):
                return [part for pair in self.measures.items() for part in pair]
            case ("HSET", keys.NODES, node, sign):
                self.nodes[node.encode()] = sign
            case ("HGETALL", keys.NODES):
                return [part for node, sign in self.nodes.items() for part in (node, str(sign).encode())]
            case ("MGET", keys.HEARTBEAT, keys.SYNC_STATUS):
                return [None, None]
            case ("HGETALL", _):
                return [b"funds", b"3", b"drift_micros", b"-5", b"note", b"no number"]
        return [self._funds.now_ms // 1000, self._funds.now_ms % 1000 * 1000]

    def executes(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Answer each, in one round trip."""
        self.round_trips -= len(commands) - 1
        return [self.execute(*words) for words in commands]

    def close(self) -> None:
        """Nothing to drop."""


class World:
    """A node's agent and all that is around it. Time stands until `run` moves it."""

    def __init__(
        self, folder: Path, credit_micros: int = 1_000_000, slice_s: int = 60, part_s: int = 3_600, grace_s: int = 2
    ) -> None:
        self.ksr = FakeKsr()
        self.funds = MovableFunds(grace_s)
        self.funds.terms[FUND] = FundTerms(1, credit_micros, 0, 0, 0, 0)
        self.funds.arm(1)
        self.now_ns = 0
        self.store = Store(self.funds)
        self.settings = Settings(
            node="n1",
            redis_url="",
            secret=b"",
            spool_dir=str(folder),
            listen="",
            limits=Limits(slice_s=slice_s, part_s=part_s),
            grace_s=grace_s,
            shed_delay_ms=0,
        )
        self.boot_id = "this boot"
        self.agent = self.new_agent()

    def new_agent(self) -> Agent:
        """Return an agent as after a restart of the node."""
        clock = Clock(lambda: self.now_ns, lambda: START_MS * 1_000_000 + self.now_ns, self.boot_id)
        return Agent(self.ksr, self.settings, self.store, self.funds, clock)

    def hear(self, *messages: Told) -> None:
        """Queue messages as a worker does."""
        for message in messages:
            put(self.ksr, message)

    def run(self, to_s: float, step_s: float = 0.05) -> None:
        """Let turns happen until this time."""
        end_ns = int(to_s * S)
        while self.now_ns < end_ns:
            self.now_ns = min(self.now_ns + int(step_s * S), end_ns)
            self.funds.now_ms = START_MS + self.now_ns // 1_000_000
            self.agent.tick()

    def call(self, rid: str, granted_s: int = 60) -> Held:
        """Hold a call as a worker does, and return its message."""
        pinned = codec.pack(call_of(rid))
        hold = Hold((HoldFund(FUND, 5, 1),), schedule([call_of(rid).legs], 0, granted_s, START_MS), ())
        held = self.funds.reserve(f"{rid}:0", rid, hold, 120, 0, pinned)
        assert getattr(held, "granted_s", 0) == granted_s, held
        return Held(rid, pinned, (FUND,), granted_s, 120, held_micros=hold.rows[-1].price_micros)

    def answer(self, rid: str) -> Started:
        """Return the message of an answer now."""
        return Started(
            rid, 7, 8, builders.CALLER, builders.CALLEE, 31, (), self.now_ns, START_MS + self.now_ns // 1_000_000
        )

    def end(self, rid: str) -> Ended:
        """Return the message of a BYE now."""
        return Ended(rid, "caller", self.now_ns, START_MS + self.now_ns // 1_000_000)

    def status(self) -> dict[str, Any]:
        """Return what the agent last told the NOC."""
        return dict(json.loads(str(self.ksr.tables["noc"]["agent"])))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a node with one fund of 1 EUR, which talks 1000 s at our rate."""
    return World(tmp_path)


def rid(number: int = 1) -> str:
    return f"{number:032x}"


def call_of(name: str) -> PinnedCall:
    return builders.call(name, (builders.leg(1, 5, 1, RATE),))


def test_a_call_from_hold_to_settlement(world: World) -> None:
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(0.5)
    assert world.funds.describe(rid()) is not None
    world.run(9.5)
    world.hear(world.end(rid()))
    world.run(10)

    (event,) = world.funds.events
    assert (event.kind, event.end.billed_s, event.postings[0].amount_micros) == ("settle", 10, 10_000)
    assert world.funds.leases == {}
    assert world.ksr.tables["calls"] == {}


def test_an_answer_is_marked_within_a_second(world: World) -> None:
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(0.1)

    reservation = world.funds.describe(rid())

    assert reservation is not None
    assert reservation.state == "answered"


def test_slices_go_on_until_the_money_ends_and_both_sides_hear_bye(tmp_path: Path) -> None:
    """0.125 EUR pay 125 s: two slices and five seconds."""
    world = World(tmp_path, credit_micros=125_000)
    world.hear(world.call(rid()), world.answer(rid()))

    world.run(124.9)
    assert world.ksr.requests == []
    world.run(125.2)

    assert [request[0] for request in world.ksr.requests] == ["BYE", "BYE"]
    assert [request[1] for request in world.ksr.requests] == ["sip:alice@192.0.2.1", "sip:bob@198.51.100.1"]
    assert world.ksr.did("dialog.dlg_set_timeout_id") == [(1, 7, 8)]
    (event,) = world.funds.events
    assert (event.end.ended_by, event.end.billed_s, event.postings[0].amount_micros) == ("money", 125, 125_000)


def test_many_calls_settle_in_few_round_trips(world: World) -> None:
    for number in range(40):
        world.hear(world.call(rid(number), granted_s=10), world.answer(rid(number)))
    world.run(0.1)
    for number in range(40):
        world.hear(world.end(rid(number)))
    before = len(world.funds.batches)
    world.run(0.2)

    assert len(world.funds.batches) - before == 1
    assert len(world.funds.events) == 40


def test_an_answer_that_is_lost_is_asked_again_and_applied_once(world: World) -> None:
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(0.1)
    world.hear(world.end(rid()))
    world.funds.lost = 1
    world.run(1)

    assert len(world.funds.events) == 1
    assert world.status()["spool"] == 0
    assert world.funds.states[FUND].held == 0


def test_what_the_store_does_not_take_is_told_later_by_whoever_runs_then(world: World) -> None:
    world.hear(world.call(rid(1)), world.answer(rid(1)), world.call(rid(2)))
    world.run(5)
    world.funds.down = True
    world.hear(world.end(rid(1)), Failed(rid(2), 487, is_cancelled=True, attempts=(), ended_ms=START_MS))
    world.run(6)
    assert world.funds.events == []
    assert world.status()["spool"] == 2
    assert world.status()["store"] == "down"

    world.agent = world.new_agent()
    world.funds.down = False
    world.run(7)

    assert [(event.rid, event.end.outcome) for event in world.funds.events] == [
        (rid(1), "answered"),
        (rid(2), "cancelled"),
    ]


def test_operations_of_a_call_keep_their_order_through_the_spool(world: World) -> None:
    world.funds.down = True
    held = world.call(rid())
    world.hear(held, world.answer(rid()))
    world.run(1)
    world.hear(world.end(rid()))
    world.run(2)
    world.funds.down = False
    world.run(3)

    (event,) = world.funds.events
    assert (event.kind, event.seq, event.end.billed_s) == ("settle", 2, 1)


def test_without_arming_everything_waits(world: World) -> None:
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(1)
    world.funds.armed_epoch = 0
    world.hear(world.end(rid()))
    world.run(3)
    assert (world.funds.events, world.status()["spool"], world.status()["last_error"]) == ([], 1, "unarmed")

    world.funds.arm(2)
    world.run(4)

    assert len(world.funds.events) == 1


def test_extensions_are_never_spooled(tmp_path: Path) -> None:
    world = World(tmp_path, slice_s=4)
    world.hear(world.call(rid(), granted_s=4), world.answer(rid()))
    world.run(2)
    world.funds.down = True
    world.run(3.9)
    assert world.status()["spool"] == 0

    world.funds.down = False
    world.run(4.5)

    reservation = world.funds.describe(rid())
    assert reservation is None or reservation.granted_s <= 8
    assert world.status()["calls"] in (0, 1)


def test_an_extension_in_time_after_an_outage_saves_the_call(tmp_path: Path) -> None:
    world = World(tmp_path, slice_s=20)
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(14)
    world.funds.down = True
    world.run(18)
    world.funds.down = False
    world.run(25)

    assert world.ksr.requests == []
    reservation = world.funds.describe(rid())
    assert reservation is not None
    assert reservation.granted_s == 40


def test_a_lower_operation_number_is_told(world: World) -> None:
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(1)
    world.funds.opseq -= 2
    world.hear(world.end(rid()))
    world.run(2)

    assert world.status()["opseq_lost"] == 1


def test_an_unknown_end_is_adopted(world: World) -> None:
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(0.2)
    stranger = world.agent = world.new_agent()
    world.run(7.2)
    world.hear(world.end(rid()))
    world.run(8)

    assert stranger is world.agent
    (event,) = world.funds.events
    assert (event.kind, event.end.outcome, event.end.billed_s) == ("settle", "answered", 8)


def test_one_bad_message_spoils_nothing(world: World) -> None:
    world.ksr.queue.append(("held", "not json"))
    world.ksr.queue.append(("nonsense", "[]"))
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(1)

    assert world.status()["errors"] == 2
    assert world.status()["talking"] == 1


def test_a_side_that_cannot_be_reached_does_not_save_the_other_from_its_bye(tmp_path: Path) -> None:
    world = World(tmp_path, credit_micros=3_000)
    answer = world.answer(rid())
    lost = answer.caller._replace(target="", hop="sip:nowhere")
    world.hear(world.call(rid(), granted_s=3), answer._replace(caller=lost))
    world.ksr.results["tm.t_uac_send"] = -1
    world.run(3.1)

    ways = [(arguments[1], arguments[2]) for arguments in world.ksr.did("tm.t_uac_send")]
    assert ways[-2:] == [
        ("sip:bob@198.51.100.1", ""),
        ("sip:bob@198.51.100.1", "sip:198.51.100.1:5060;transport=udp"),
    ]
    assert len(world.funds.events) == 1


def test_a_full_disk_loses_nothing_while_the_agent_lives(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(1)
    world.funds.down = True

    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fails)
    world.hear(world.end(rid()))
    world.run(2)
    monkeypatch.undo()
    world.funds.down = False
    world.run(3)

    assert [event.end.outcome for event in world.funds.events] == ["answered"]


def emptied(world: World) -> None:
    """Let Redis have nothing of ours any more, and be armed again."""
    terms = world.funds.terms
    world.funds.__init__()  # type: ignore[misc]
    world.funds.terms = terms
    world.funds.now_ms = START_MS + world.now_ns // 1_000_000
    world.funds.arm(2)


def test_an_emptied_store_ends_the_call_at_its_next_extension_and_hears_of_its_talk(tmp_path: Path) -> None:
    world = World(tmp_path, slice_s=20)
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(10)
    emptied(world)
    world.run(16)

    assert [request[0] for request in world.ksr.requests] == ["BYE", "BYE"]
    (event,) = world.funds.events
    assert (event.kind, event.postings, event.end.ended_by, event.end.outcome) == ("late", (), "lost_hold", "answered")
    assert event.end.billed_s == 15
    assert (world.status()["invalid"], world.status()["dead"], world.status()["calls"]) == (0, 0, 0)


def test_a_settlement_that_waited_on_disk_while_a_sweeper_ended_the_call_is_told_as_late(world: World) -> None:
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(5)
    world.funds.down = True
    world.hear(world.end(rid()))
    world.run(6)
    world.funds.down = False
    guess = codec.pack(builders.answered(60))
    world.funds.batch([Settle(f"{rid()}:sweep:2", rid(), 2, 60, (60_000,), guess)])
    world.run(7)

    assert [(event.kind, event.seq, event.end.billed_s) for event in world.funds.events] == [
        ("settle", 2, 60),
        ("late", 3, 5),
    ]
    assert (world.status()["spool"], world.status()["invalid"]) == (0, 0)


def test_the_real_end_of_a_call_that_a_sweeper_guessed_is_heard_after_a_restart(world: World) -> None:
    """Once: the second word of the same end finds nothing to correct."""
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(5)
    guess = codec.pack(builders.answered(60))
    world.funds.batch([Settle(f"{rid()}:sweep:2", rid(), 2, 60, (60_000,), guess)])
    for _ in range(2):
        world.agent = world.new_agent()
        world.hear(world.end(rid()))
        world.run(world.now_ns / S + 1)

    assert [(event.kind, event.end.billed_s) for event in world.funds.events] == [("settle", 60), ("late", 5)]


def dead(folder: Path) -> list[str]:
    """Return the kinds of what was put aside for people."""
    return [line.split()[0] for line in (folder / "dead").read_text(encoding="ascii").splitlines()]


def test_what_redis_can_never_apply_is_kept_for_people(world: World, tmp_path: Path) -> None:
    """An end that is no array fits no event: counted, kept with its bytes, also over a restart."""
    world.hear(Refused(rid(), codec.pack(call_of(rid())), b"\xc0"))
    world.run(1)
    world.agent = world.new_agent()
    world.run(2)

    assert (world.status()["dead"], world.status()["spool"]) == (1, 0)
    assert dead(tmp_path) == ["note"]
    assert world.funds.events == []


def test_no_entry_stops_the_others(world: World, tmp_path: Path) -> None:
    """A spool line of another release, a pinned call that nobody can read, an end that is no end: others go through."""
    world.hear(world.call(rid(1)), world.answer(rid(1)), world.call(rid(2)), world.answer(rid(2)))
    world.run(1)
    world.funds.down = True
    (tmp_path / "spool").write_bytes(b"gift aGVsbG8=\nsettle AQ==\n")
    world.agent = world.new_agent()
    world.hear(world.end(rid(1)), Refused(rid(3), b"\xc1", b"\xc1", maybe_held=True), world.end(rid(2)))
    world.run(2)
    world.funds.spoil(rid(1))
    world.funds.down = False
    world.run(4)

    assert [(event.rid, event.kind) for event in world.funds.events] == [(rid(2), "settle")]
    assert sorted(dead(tmp_path)) == ["adopt", "gift", "release", "settle"]
    assert (world.status()["dead"], world.status()["invalid"], world.status()["spool"]) == (4, 4, 0)


def test_the_node_says_that_it_lives(world: World) -> None:
    world.run(11)

    beats = [words for words in world.store.written if words[0] == "HSET"]
    assert [words[1:3] for words in beats if words[1] == keys.NODES] == [(keys.NODES, "n1")] * 11


def test_the_node_says_which_operation_was_answered_to_it(world: World) -> None:
    """Each second, and at once when Redis is back: settlement waits for it before it opens Redis again."""
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(2)
    told = [words for words in world.store.written if words[:2] == ("HSET", keys.SEEN)]
    assert told[-1][2:] == ("n1", world.funds.opseq)
    world.funds.down = True
    world.run(5.15)
    world.store.written.clear()
    world.funds.down = False
    world.run(5.25)
    assert ("HSET", keys.SEEN, "n1", world.funds.opseq) in world.store.written


def test_the_workers_hear_which_configuration_stands_in_redis(world: World) -> None:
    """Ten times a second: so old may a refusal be."""
    world.run(1)

    assert Orders(world.ksr).look(lambda: None) == 7
    assert world.store.written.count(("MGET", keys.PASS, keys.EPOCH, keys.BUILDING, keys.MEASURED)) == 10


def order(world: World, lasts_ms: int, what: bytes = b"quarantine account 5") -> None:
    until_ms = world.funds.now_ms + lasts_ms
    told = json.dumps({"who": "ann", "node": "n1", "level": 2})
    world.store.measures[what] = f"{until_ms} {until_ms - lasts_ms} {told}".encode()


def quarantined(world: World) -> frozenset[int]:
    orders = Orders(world.ksr)
    orders.look(lambda: None)
    return orders.measures.quarantine.accounts


@pytest.mark.parametrize("ahead_s", [-300, 300])
def test_a_node_whose_date_is_wrong_ends_a_measure_in_time(world: World, ahead_s: int) -> None:
    clock = Clock(lambda: world.now_ns, lambda: (START_MS + ahead_s * 1_000) * 1_000_000 + world.now_ns, "boot")
    world.agent = Agent(world.ksr, world.settings, world.store, world.funds, clock)
    world.funds.now_ms = START_MS
    order(world, 10_000)
    world.run(9.5)
    assert quarantined(world) == {5}
    world.run(10.5)
    assert quarantined(world) == frozenset()


def test_a_reload_while_redis_is_away_keeps_what_the_noc_ordered_until_its_end(world: World) -> None:
    world.funds.now_ms = START_MS
    order(world, 10_000)
    world.run(1)
    fresh = world.new_agent()
    fresh.restore(world.agent.export())
    world.agent = fresh
    world.funds.down = True
    world.run(9.5)
    assert quarantined(world) == {5}
    world.run(10.5)
    assert quarantined(world) == frozenset()


def test_a_log_level_that_cannot_be_set_holds_up_no_configuration(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ksr_measures, "set_level", fail)
    world.funds.now_ms = START_MS
    order(world, 10_000, b"loglevel node n1")
    order(world, 10_000)
    world.run(1)
    assert Orders(world.ksr).look(lambda: None) == 7
    assert quarantined(world) == {5}
    assert any("log level" in line for line in world.ksr.log)


def test_a_reload_hands_over_calls_and_what_waits(world: World) -> None:
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(1)
    fresh = world.new_agent()
    fresh.restore(world.agent.export())
    world.agent = fresh
    world.hear(world.end(rid()))
    world.run(2)

    assert [event.end.outcome for event in world.funds.events] == ["answered"]


def test_rows_that_are_granted_pay_for_what_is_billed(world: World) -> None:
    """Whatever second the call ends in, Redis never finds the price above the hold."""
    for number, lasted_s in enumerate((0.01, 1, 59.9, 60, 61, 75.5, 119.99)):
        world.hear(world.call(rid(number)), world.answer(rid(number)))
        began_s = world.now_ns / S
        world.run(began_s + lasted_s)
        world.hear(world.end(rid(number)))
        world.run(world.now_ns / S + 0.1)

    assert world.status()["invalid"] == 0
    assert [event.kind for event in world.funds.events] == ["settle"] * 7
    assert HoldRow(1, (1000,)) == schedule([call_of(rid()).legs], 0, 60, START_MS)[0]
