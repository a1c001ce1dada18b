"""All registrations are read in short turns, from the beginning where it must be, and OPTIONS wait for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi.adapters import ksr_fork, ksr_locations
from kemi.adapters.redis_client import FunctionFailed, StoreUnavailable
from kemi.agent_locations import READ_MAX, AgentLocations
from tests.fakes.ksr import FakeKsr
from tests.fakes.locations import NOW_S, SETTINGS, TURN_NS, FakeWire, PagedStore

TURNS_MAX = 400
CLEANED = 400  # turns after which the agent has looked once more whether it missed changes
LINES = [f"u{n}@a.example" for n in range(1000)]
pages = st.lists(st.integers(0, 2 * READ_MAX + 9), max_size=8)


class Starting:
    """A node that has just started."""

    def __init__(self, store: PagedStore) -> None:
        self.store, self.ksr, self.wire = store, FakeKsr(), FakeWire()
        self.agent = AgentLocations(self.ksr, SETTINGS, store, self.wire)
        self.turns = 0
        ksr_locations.begin(self.ksr)

    @property
    def is_loading(self) -> bool:
        """Whether OPTIONS get a 503."""
        return ksr_locations.is_loading(self.ksr)

    def turn(self, times: int = 1) -> None:
        """Do turns of the agent."""
        for _ in range(times):
            self.agent.turn(self.turns * TURN_NS, NOW_S * 1000)
            self.turns += 1

    def load(self) -> None:
        """Turn until all is read."""
        while self.is_loading:
            assert self.turns < TURNS_MAX
            before = len(self.store.read_at_once)
            self.turn()
            assert sum(self.store.read_at_once[before:]) <= READ_MAX


def paged(size: int = 150) -> PagedStore:
    return PagedStore([LINES[at : at + size] for at in range(0, len(LINES), size)])


@given(sizes=pages)
def test_every_line_of_every_page_is_read_some_a_turn(sizes: list[int]) -> None:
    """Pages may be empty, or larger than was asked for."""
    names = [[f"u{page}.{n}@a.example" for n in range(size)] for page, size in enumerate(sizes)]
    node = Starting(PagedStore(names))
    node.load()
    assert node.wire.lines == {name for page in names for name in page}


def test_options_wait_for_the_last_page() -> None:
    node = Starting(paged())
    for _ in range(4):
        node.turn()
        assert node.is_loading
    node.load()
    assert node.wire.lines == {*LINES}


def test_a_page_that_failed_is_read_again_and_none_is_left_out() -> None:
    node = Starting(paged())
    node.turn(3)
    node.store.fails = StoreUnavailable("no answer", maybe_applied=False)
    node.turn()
    assert node.is_loading
    node.load()
    assert node.wire.lines == {*LINES}


def test_another_server_is_read_from_its_beginning() -> None:
    """A cursor says nothing to it."""
    node = Starting(paged())
    node.turn(3)
    node.store.server, node.store.pages = "b", [*reversed(paged().pages)]
    node.load()
    assert node.wire.lines == {*LINES}


def test_without_a_redis_that_answers_nobody_waits() -> None:
    for change in ({"is_up": False}, {"fails": FunctionFailed("NOPERM")}):
        node = Starting(paged())
        node.turn(3)
        vars(node.store).update(change)
        node.turn()
        assert not node.is_loading


def test_a_reload_in_the_middle_reads_again() -> None:
    node = Starting(paged())
    node.turn(3)
    exported = node.agent.export()
    node.agent, node.wire.lines = AgentLocations(node.ksr, SETTINGS, node.store, node.wire), set()
    node.agent.restore(exported)
    node.load()
    assert node.wire.lines == {*LINES}


def test_where_changes_were_lost_all_is_read_again_as_slowly() -> None:
    node = Starting(paged())
    node.load()
    node.wire.lines.clear()
    node.store.moved, before = ("7-0", "9-0"), len(node.store.read_at_once)
    node.turn(CLEANED)
    assert node.wire.lines == {*LINES}
    assert max(node.store.read_at_once[before:]) <= READ_MAX
    assert not node.is_loading


@pytest.mark.parametrize(("has_come_back", "taken"), [(False, 2), (True, 1)])
def test_what_goes_while_the_registrar_is_told_of_it_does_not_stay(has_come_back: bool, taken: int) -> None:
    """Else calls would ring a phone that is gone, until its registration expires."""
    node = Starting(PagedStore([]))
    node.load()
    node.wire.is_slow = True
    name = LINES[0]
    contact = "sip:u0@192.0.2.1"
    node.ksr.pvs.update({"$(ulc(locs=>count)[0])": 1, "$(ulc(locs=>addr)[0])": contact, "$(ulc(locs=>ruid)[0])": "r"})
    node.store.news = [[b"name", name.encode(), b"node", b"n2"]]
    node.turn(3)
    assert node.wire.lines == {name}
    node.store.news = [[b"name", name.encode(), b"node", b"n2", b"gone", contact.encode()]]
    node.store.gone = {name}
    node.turn(3)
    node.store.gone -= {name} if has_come_back else set()
    node.wire.is_slow = False
    node.turn(3)
    assert node.ksr.did("registrar.unregister_ruid") == [(ksr_fork.LOCATION, f"sip:{name}", "r")] * taken
