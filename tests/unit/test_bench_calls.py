"""The benchmark of calls, without a call: sums of CPU time, SIPp's files, ratios, table, parts of the picture."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.wait import until
from tools.bench.calls import cpu, figures
from tools.bench.calls.chart import REST, stacks
from tools.bench.calls.cpu import Used
from tools.bench.calls.figures import FLOOR, LUA, NAMES, OURS, SQL, Length, Round
from tools.bench.calls.guard import guarded
from tools.bench.calls.ours import roles
from tools.bench.calls.phones import lines, read
from tools.bench.calls.profile import Share, shares
from tools.errors import OperatorError
from tools.stack import process

TICK_NS = 10_000_000


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a machine with process 7 and its child 8, whose name has a bracket, and a stranger."""
    _process(tmp_path, 7, 1, "postgres", ended_ticks=(3, 2), threads=(1_000, 500))
    _process(tmp_path, 8, 7, "post) gres", ended_ticks=(0, 0), threads=(70,))
    _process(tmp_path, 9, 1, "cron", ended_ticks=(0, 0), threads=(9_000,))
    (tmp_path / "loadavg").touch()
    return tmp_path


def test_a_sample_has_all_threads_of_all_descendants(proc: Path) -> None:
    """And what ended children have used, in whole ticks; nothing of a stranger's."""
    found = cpu.sample({"postgres": 7}, {8: "checkpointer"}, proc)
    assert found == {7: Used("postgres", 1_500, 5 * TICK_NS), 8: Used("checkpointer", 70, 0)}


def test_a_process_that_is_gone_is_no_mistake(proc: Path) -> None:
    assert cpu.tree(4_711, proc) == []
    assert cpu.sample({"redis": 4_711}, {}, proc) == {}


@pytest.mark.parametrize(
    ("before", "after", "used"),
    [
        pytest.param({1: Used("a", 100, 0)}, {1: Used("a", 350, 0)}, {"a": 250}, id="one goes on"),
        pytest.param({}, {1: Used("a", 350, 20)}, {"a": 370}, id="one is new"),
        pytest.param(
            {1: Used("a", 100, 0), 2: Used("a", 40, 0)}, {1: Used("a", 100, 90)}, {"a": 50}, id="a child ended"
        ),
        pytest.param(
            {1: Used("a", 0, 0), 2: Used("b", 0, 0)},
            {1: Used("a", 5, 0), 2: Used("b", 6, 0), 3: Used("b", 7, 0)},
            {"a": 5, "b": 13},
            id="groups",
        ),
    ],
)
def test_what_was_used_between_two_samples(
    before: Mapping[int, Used], after: Mapping[int, Used], used: Mapping[str, int]
) -> None:
    """Who ended in between counts with what he used since the first sample, not since he began."""
    assert cpu.spent(before, after) == used


def test_microseconds_per_call_begin_with_the_dearest() -> None:
    assert list(cpu.per_call_us({"redis": 1_000_000, "workers": 9_000_000}, 10).items()) == [
        ("workers", 900.0),
        ("redis", 100.0),
    ]


def test_what_sipp_wrote_is_read_from_its_last_line() -> None:
    """Who has not succeeded has failed, also who still talked; set-ups are those of answered calls."""
    counts = ["StartTime;SuccessfulCall(P);SuccessfulCall(C);FailedCall(C);", "x;1;1;0;", "x;1;2;1;"]
    messages = [
        "d\tt\t10.000000\tS\ta-1\tCSeq:1 INVITE\tINVITE sip:x SIP/2.0",
        "d\tt\t10.001000\tR\ta-1\tCSeq:1 INVITE\tSIP/2.0 407 Proxy Authentication Required",
        "d\tt\t10.002000\tS\ta-1\tCSeq:2 INVITE\tINVITE sip:x SIP/2.0",
        "d\tt\t10.004500\tR\ta-1\tCSeq:2 INVITE\tSIP/2.0 200 OK",
        "d\tt\t10.500000\tS\ta-2\tCSeq:1 INVITE\tINVITE sip:x SIP/2.0",
    ]
    placed = read(counts, messages, 3)
    assert (placed.succeeded, placed.failed) == (2, 1)
    assert (placed.rate, placed.setup_ms) == pytest.approx((2.0, 4.5))


@pytest.mark.parametrize("counts", [[], ["SuccessfulCall(C);FailedCall(C);"], ["Something;", "1;"]])
def test_counts_of_another_sipp_are_no_counts(counts: list[str]) -> None:
    with pytest.raises(OperatorError, match="counts of sipp"):
        read(counts, [], 3)


def test_each_line_knows_its_own_password() -> None:
    assert list(lines(2))[1] == "u2;[authentication username=u2 password=bench-secret]"


def test_processes_of_kamailio_are_named_by_what_they_do() -> None:
    """The agent is an rtimer process, which is no timer of SIP."""
    found = roles(
        {
            1: "main process - attendant",
            2: "udp receiver child=0 sock=127.0.0.1:5060",
            3: "RTIMER USEC EXEC child=0 timer=agent",
            4: "secondary timer",
            5: "tcp main process",
            6: "ctl handler",
            7: "tcp receiver (generic) child=0",
        }
    )
    assert found == {1: "kamailio besides", 2: "workers", 3: "agent", 4: "timers", 5: "tcp", 6: "control", 7: "tcp"}


def test_ratios_are_medians_of_pairs_not_ratios_of_medians() -> None:
    """Each round of ours is compared with that round of the others, in which the machine had the same mood."""
    found = _figures()
    assert found["ratios"][FLOOR] == [2.0, 3.0, 1.0]
    assert (found["ratio_floor"], found["ratio_sql"], found["ratio_lua"]) == (2.0, 0.5, 1.0)
    assert found["cpu_us"][OURS] == 300.0
    assert found["setup_added_ms"] == pytest.approx(0.5)
    assert found["failed_calls"] == 1
    assert found["cpu_us_processes"][OURS] == {"workers": 200.0, "redis": 100.0}


def test_the_table_has_a_row_for_each_router() -> None:
    rows = [line for line in figures.table(_figures()).splitlines() if line.startswith("| (")]
    assert [row[2:5] for row in rows] == ["(a)", "(b)", "(c)", "(d)"]
    assert rows[-1] == "| (d) Tandem | 300 | 1.50 | 400 | 1 |"


def test_the_table_takes_the_place_of_the_one_before() -> None:
    page = f"above\n{figures.BEGIN}\nold\n{figures.END}\nbelow\n"
    once = figures.between_marks(page, "new")
    assert once == f"above\n{figures.BEGIN}\nnew\n{figures.END}\nbelow\n"
    assert figures.between_marks(once, "new") == once


@pytest.mark.parametrize("page", ["", figures.BEGIN, figures.END + figures.BEGIN])
def test_a_page_without_both_marks_is_left_alone(page: str) -> None:
    with pytest.raises(ValueError, match="not both there"):
        figures.between_marks(page, "new")


def test_small_parts_of_the_picture_are_one() -> None:
    found = {
        "cpu_us": {"floor": 100.0, "tandem": 1_000.0},
        "cpu_us_processes": {"floor": {"kamailio": 100.0}, "tandem": {"workers": 994.0, "tcp": 4.0, "control": 2.0}},
    }
    assert stacks(found) == {"kamailio": {"floor": 100.0}, "workers": {"tandem": 994.0}, REST: {"tandem": 6.0}}


def _figures() -> dict[str, Any]:
    def rounds(us: list[float], setup_ms: float) -> list[Round]:
        return [Round({"kamailio": each}, setup_ms, 0) for each in us]

    ours = [Round({"workers": each - 100.0, "redis": 100.0}, 1.5, 0) for each in (200.0, 300.0, 400.0)]
    found = {
        FLOOR: rounds([100.0, 100.0, 400.0], 1.0),
        SQL: rounds([400.0, 600.0, 800.0], 5.0),
        LUA: rounds([200.0, 300.0, 400.0], 2.0),
        OURS: [*ours[:2], ours[2]._replace(failed=1)],
    }
    return figures.figures(found, {**dict.fromkeys(NAMES, 100), OURS: 400}, Length(1_000, 3, 100, 200, 1_000))


def _process(
    proc: Path, pid: int, parent: int, name: str, ended_ticks: tuple[int, int], threads: tuple[int, ...]
) -> None:
    home = proc / str(pid)
    for number, nanoseconds in enumerate(threads):
        task = home / "task" / str(pid + number * 100)
        task.mkdir(parents=True)
        (task / "schedstat").write_text(f"{nanoseconds} 5 6\n")
    used = f"10 11 {ended_ticks[0]} {ended_ticks[1]}"
    (home / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 {used} 20 0 1 0 99\n")


def test_a_profile_counts_functions_whatever_their_lines_and_leaves_waiting_out() -> None:
    """Each function once a stack, though it may call itself; nobody is at work in recvfrom."""
    found = shares(
        [
            "main (a.so);walk (kemi/core/walk.py:10);walk (kemi/core/walk.py:12) 3",
            "main (a.so);send (libc.so.6) 1",
            "main (a.so);recvfrom (libc.so.6) 96",
        ]
    )
    assert found == [
        Share("walk kemi/core/walk.py", 75.0, 75.0),
        Share("send libc.so.6", 25.0, 25.0),
        Share("main a.so", 0.0, 100.0),
    ]


def test_a_profile_of_nothing_is_none() -> None:
    assert shares(["recvfrom (libc.so.6) 96"]) == []


def test_what_stands_still_ends_with_the_benchmark(tmp_path: Path) -> None:
    """A process that was stopped ends by no other signal than the guard's."""
    standing = subprocess.Popen(["sleep", "600"], env={**os.environ, process.MARK: str(tmp_path)})
    try:
        until(lambda: process.marked(tmp_path), 10, "it to have its environment")
        standing.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{standing.pid}/stat")
        until(lambda: ") T " in stat.read_text(), 10, "it to stand still")
        standing.send_signal(signal.SIGTERM)
        with guarded([tmp_path]):
            assert standing.poll() is None
        assert standing.wait(10) == -signal.SIGKILL
    finally:
        standing.kill()
        standing.wait()
