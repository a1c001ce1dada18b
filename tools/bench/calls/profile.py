"""In which functions the time of our processes goes, while calls pass: by py-spy, which looks at them from outside.

perf sees the interpreter of Python 3.11 and not what it interprets; py-spy sees the frames of Python, and with them
the functions of Kamailio and of the C library that they call. It stops a process for each look, so what a round costs
while it is looked at is no figure. It needs the right to trace other processes, which root has.
"""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tools.errors import OperatorError
from tools.stack.layout import venv_bin

LOOKS_PER_S: Final = 200
LONGEST_S: Final = "3600"
END_S: Final = 120
SHOWN: Final = 40
WAITING: Final = frozenset(
    {"recvfrom", "recvmsg", "poll", "epoll_wait", "select", "pselect", "nanosleep", "clock_nanosleep"}
)
"""Functions of the C library in which a process stands while there is nothing to do: no CPU."""


class Share(NamedTuple):
    """A function's part of those looks at a group that met it at work, in percent.

    own: the function itself was at work. within: it, or what it called.
    """

    function: str
    own: float
    within: float


@contextmanager
def watched(groups: Mapping[str, Sequence[int]], folder: Path) -> Iterator[None]:
    """Look at these processes until the block ends; a file of stacks for each appears in `folder`, a new one."""
    folder.mkdir(parents=True)
    running = []
    try:
        for group, pids in groups.items():
            for pid in pids:
                path = folder / f"{group}.{pid}.stacks"
                command = (
                    *(str(venv_bin() / "py-spy"), "record", "--pid", str(pid), "--rate", str(LOOKS_PER_S)),
                    *("--duration", LONGEST_S, "--format", "raw", "--native", "--output", str(path)),
                )
                with path.with_suffix(".log").open("wb") as log:
                    running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        yield
    finally:
        for each in running:
            each.send_signal(signal.SIGINT)  # it writes its file then
        for each in running:
            with suppress(subprocess.TimeoutExpired):
                each.wait(END_S)
            each.kill()


def report(folder: Path) -> str:
    """Return what was seen of each group, as text. Raises OperatorError when nothing was."""
    groups: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.stacks")):
        groups.setdefault(path.name.split(".")[0], []).extend(path.read_text(errors="replace").splitlines())
    if not groups:
        raise OperatorError(
            f"py-spy saw nothing: see {folder}/*.log; it needs the right to trace processes, as root has"
        )
    return "\n".join(line for group, stacks in groups.items() for line in _page(group, shares(stacks)))


def shares(stacks: Iterable[str]) -> list[Share]:
    """Return the functions of collapsed stacks (`outer;inner count`), those most at work first; waiting left out."""
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    total = 0
    for stack in stacks:
        frames, _, count = stack.rpartition(" ")
        if frames.rpartition(";")[2].partition(" ")[0] in WAITING:
            continue
        names = [frame.partition(" (")[0] + " " + _place(frame) for frame in frames.split(";")]
        total += int(count)
        own[names[-1]] += int(count)
        within.update(dict.fromkeys(names, int(count)))
    return [
        Share(name.strip(), round(100 * own[name] / total, 1), round(100 * each / total, 1))
        for name, each in sorted(within.items(), key=lambda pair: (-own[pair[0]], -pair[1]))
    ]


def _place(frame: str) -> str:
    """Return the file of a frame, without its line: the lines of one function count together."""
    return frame.partition(" (")[2].rstrip(")").partition(":")[0]


def _page(group: str, found: Sequence[Share]) -> list[str]:
    by_within = sorted(found, key=lambda share: -share.within)
    return [
        f"{group}: at work themselves, and with what they called, % of looks",
        *(f"  {share.own:5.1f}  {share.within:5.1f}  {share.function}" for share in found[:SHOWN]),
        f"{group}: with all that they called",
        *(f"  {share.within:5.1f}  {share.own:5.1f}  {share.function}" for share in by_within[:SHOWN]),
        "",
    ]
