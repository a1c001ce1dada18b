"""Places at servers: taken at the attempt, given back, refused when there are enough, healed when a count is lost."""

from __future__ import annotations

from kemi.adapters.ksr_capacity import Reconciler, release, take
from kemi.core.outcome import ServerLimits
from tests.fakes.ksr import FakeKsr

NOW_MS = 1_770_000_000_000
ANY = ServerLimits()


def channels(ksr: FakeKsr) -> dict[str, object]:
    return {server: count for server, count in ksr.tables["channels"].items() if count}


def test_a_place_is_taken_and_given_back_once() -> None:
    ksr = FakeKsr()

    assert take(ksr, "call", 31, ANY, NOW_MS) == ""
    assert channels(ksr) == {"31": 1}
    release(ksr, "call")
    release(ksr, "call")

    assert channels(ksr) == {}


def test_no_more_calls_at_a_time_than_a_server_takes() -> None:
    ksr, limits = FakeKsr(), ServerLimits(channels_max=2)

    asked = [take(ksr, f"call {number}", 31, limits, NOW_MS) for number in range(4)]

    assert asked == ["", "", "channels", "channels"]
    assert channels(ksr) == {"31": 2}
    release(ksr, "call 0")
    assert take(ksr, "call 5", 31, limits, NOW_MS) == ""
    assert take(ksr, "call 6", 32, limits, NOW_MS) == "", "another server has places of its own"


def test_no_more_calls_a_second_than_a_server_takes() -> None:
    ksr, limits = FakeKsr(), ServerLimits(cps_max=2)

    asked = [take(ksr, f"call {number}", 31, limits, NOW_MS + number * 200) for number in range(6)]

    assert asked == ["", "", "cps", "cps", "cps", ""]
    assert channels(ksr) == {"31": 3}


def test_a_full_server_is_not_counted_as_sent_to() -> None:
    ksr, limits = FakeKsr(), ServerLimits(channels_max=1, cps_max=2)
    take(ksr, "call 0", 31, limits, NOW_MS)

    assert [take(ksr, f"call {number}", 31, limits, NOW_MS) for number in (1, 2, 3)] == ["channels"] * 3
    release(ksr, "call 0")

    assert take(ksr, "call 4", 31, limits, NOW_MS) == ""


def test_what_is_wrong_twice_is_put_right() -> None:
    ksr, reconciler = FakeKsr(), Reconciler()
    ksr.tables["channels"].update({"31": 5, "32": -1})
    ksr.tables["busy"]["gone"] = "41"
    take(ksr, "rings", 33, ANY, NOW_MS)
    calls = {"rings": 0}

    reconciler.turn(ksr, calls)
    assert channels(ksr) == {"31": 5, "32": -1, "33": 1}, "once may be a call that comes or goes"
    for _ in range(3):
        reconciler.turn(ksr, calls)

    assert channels(ksr) == {"33": 1}
    assert list(ksr.tables["busy"]) == ["rings"]


def test_a_call_that_comes_while_the_tables_are_read_is_not_undone() -> None:
    ksr, reconciler = FakeKsr(), Reconciler()
    ksr.tables["channels"]["31"] = 1  # counted, and its row not written yet

    reconciler.turn(ksr, {})
    ksr.tables["busy"]["call"] = "31"
    for _ in range(3):
        reconciler.turn(ksr, {"call": 31})

    assert channels(ksr) == {"31": 1}
    assert reconciler.healed == 0


def test_an_adopted_call_has_its_place() -> None:
    ksr, reconciler = FakeKsr(), Reconciler()

    reconciler.turn(ksr, {"adopted": 31, "phone": 0})

    assert channels(ksr) == {"31": 1}
    release(ksr, "adopted")
    assert channels(ksr) == {}
