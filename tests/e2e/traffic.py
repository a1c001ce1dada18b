"""Many calls of one kind at once, beside the scenarios that each place one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tools.scenario.run import Endpoint
from tools.scenario.sipp import COMMON


def sipp(
    endpoint: Endpoint,
    folder: Path,
    file: str,
    address: str,
    *options: str,
    calls: int,
    edit: Callable[[str], str] = str,
) -> subprocess.Popen[bytes]:
    """Start a SIPp that places or takes `calls` calls on `address`, callees on port 5080 and callers on 5081.

    file: a shared scenario, given through `edit`. Its messages, errors and screen go to `folder` under its name.
    """
    scenario = folder / file
    scenario.write_text(edit((COMMON / file).read_text(encoding="utf-8")), encoding="utf-8")
    with (folder / f"{file}.log").open("wb") as log:
        return subprocess.Popen(
            ["sipp", endpoint.proxy, "-sf", str(scenario), "-i", address,
             "-p", "5080" if file.startswith("uas") else "5081", "-m", str(calls), "-nostdin", "-timeout", "60s",
             "-timeout_error", "-trace_err", "-error_file", str(folder / f"{file}.errors"),
             "-trace_msg", "-message_file", str(folder / f"{file}.messages"), *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
