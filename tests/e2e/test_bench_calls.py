"""`make bench` with few calls: all four routers take them, and their books are right. No figure is judged."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.fix_stack import short_directory
from tools.bench.calls import phones
from tools.bench.calls.figures import NAMES
from tools.errors import OperatorError
from tools.stack import process
from tools.stack.layout import venv_bin

CALLS = 20
COMMAND = ("bench", "calls", "--calls", str(CALLS), "--rounds", "1", "--rate", "10", "--steps", "1", "--step-s", "1")


@pytest.mark.timeout(600)
def test_a_short_run_has_all_figures_and_no_failed_call() -> None:
    """The last line is what the file says, there is a picture, and nothing is left behind."""
    with short_directory() as folder:
        run_dir = folder / "run"
        done = subprocess.run(
            [str(venv_bin() / "tandem"), *COMMAND],
            check=False, capture_output=True, text=True, timeout=540, env={**os.environ, "RUN_DIR": str(run_dir)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert found == json.loads((run_dir / "bench" / "calls.json").read_text())
        assert (run_dir / "bench" / "calls.png").read_bytes().startswith(b"\x89PNG")
        assert sorted(path.name for path in (run_dir / "bench").iterdir()) == ["calls.json", "calls.png"]
        assert not _left(run_dir)
    assert (found["failed_calls"], found["calls"], found["rounds"], found["rate"]) == (0, CALLS, 1, 10), done.stderr
    assert set(found["cpu_us"]) == set(found["max_cps"]) == set(NAMES)
    assert all(us > 0 for us in found["cpu_us"].values())
    assert all(found[name] > 0 for name in ("ratio_floor", "ratio_sql", "ratio_lua"))
    assert isinstance(found["setup_added_ms"], float)
    assert {"workers", "agent", "redis", "postgres", "sync", "settle", "timers", "tcp"} <= set(
        found["cpu_us_processes"]["tandem"]
    )


@pytest.mark.parametrize(
    ("address", "why"),
    [((phones.CALLER, 5081), "could not place calls"), ((phones.CALLEE, phones.CALLEE_PORT), "cannot listen on")],
)
def test_calls_that_never_were_are_no_failures(tmp_path: Path, address: tuple[str, int], why: str) -> None:
    """Somebody else has an address of SIPp's: that is told, and no router is blamed."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(address)
        with pytest.raises(OperatorError, match=why):
            phones.place("127.0.0.1:9", phones.Traffic("t", 5, 10, 10, 1), tmp_path / "calls")


def _left(run_dir: Path) -> list[int]:
    """Return who still carries the mark of a directory below this one."""
    wanted = os.fsencode(f"{process.MARK}={run_dir}")
    found = []
    for home in Path("/proc").iterdir():
        if home.name.isdecimal():
            try:
                words = (home / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            found += [int(home.name)] if any(word.startswith(wanted) for word in words) else []
    return found
