"""Many calls of one kind at once, beside the scenarios that each place one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime
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


def answered_calls(folder: Path, label: str) -> set[str]:
    """Return the Call-IDs with `label` that the callee got an ACK for: calls that people were talking in."""
    acks = (text for text in _received(folder) if "\nACK " in text[:200])
    return {call_id for text in acks if label in (call_id := _call_id(text))}


def invited_at(folder: Path) -> list[float]:
    """Return when the callee got each INVITE, Unix seconds, as its log says; repetitions included."""
    return [_logged_at(text) for text in _received(folder) if "\nINVITE " in text[:200]]


def _received(folder: Path) -> list[str]:
    """Return what the callee received; each begins with the time of day that SIPp wrote before it."""
    try:
        text = (folder / "uas-answer.xml.messages").read_text(errors="replace")
    except FileNotFoundError:
        return []
    parts = text.replace("\r", "").split("-----------------------------------------------")[1:]
    return [part for part in parts if "message received [" in part[:200]]


def _call_id(text: str) -> str:
    lines = (line for line in text.split("\n") if line.startswith("Call-ID:"))
    return next(lines, "").removeprefix("Call-ID:").strip()


def _logged_at(text: str) -> float:
    return datetime.fromisoformat(text.strip().split("\n")[0][:26]).timestamp()
