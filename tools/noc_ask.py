"""Asking nodes: through Kamailio's control socket, the one way there.

kamcmd returns no answer from Python: the node leaves it in a table under our ticket, and we fetch it from there. It
ends with 0 whatever the node says to it, so `error: 500 - …` is looked for in what it prints.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from collections.abc import Sequence
from typing import Any, Final

from tools.errors import OperatorError, not_set

TIMEOUT_S: Final = 5
_FAULT: Final = re.compile(r"\Aerror: (.*)")


def ask(ctl: str, command: str) -> dict[str, Any]:
    """Return a node's answer, its pages joined. ctl: path of its control socket.

    Raises OperatorError when it does not answer, or answers that it cannot.
    """
    if not ctl:
        raise not_set("TANDEM_CTL")
    ticket = f"t{secrets.token_hex(8)}"
    kamcmd(ctl, "evrexec.run", "noc", f"s:{command} {ticket}")
    first = _page(ctl, ticket)
    if first is None:
        raise OperatorError(f"the node behind {ctl} gave no answer to {command!r}; its log may say why")
    pages = [first]
    for at in range(2, int(first.get("pages", 1)) + 1):
        page = _page(ctl, f"{ticket}:{at}")
        if page is None:
            raise OperatorError(f"the node behind {ctl} gave its answer to {command!r} only in part; ask again")
        pages.append(page)
    return without_error(joined(pages))


def joined(pages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer that came in these pages: their rows one behind the other."""
    whole = {name: value for name, value in pages[0].items() if name not in ("page", "pages")}
    for page in pages[1:]:
        for name, rows in page.items():
            if isinstance(rows, list):
                whole[name] = [*whole[name], *rows]
    return whole


def without_error(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer; one that says why it is none is raised as OperatorError."""
    if "error" in answer:
        raise OperatorError(str(answer["error"]))
    return answer


def kamcmd(ctl: str, *words: str) -> str:
    """Return what kamcmd prints; "" where the table has no such entry. Raises OperatorError where nobody answers."""
    command = ["kamcmd", "-s", f"unix:{ctl.removeprefix('unix:')}", *words]
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S, env=_environment()
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        said = getattr(error, "stderr", None) or error
        raise OperatorError(f"no answer to {words[0]} through {ctl}: {said}".strip()) from error
    fault = _FAULT.match(done.stdout.lstrip())
    if fault and words[0] != "htable.get":  # which says so of an entry that is not there
        raise OperatorError(f"the node behind {ctl} refuses {words[0]}: {fault[1]}")
    return done.stdout


def _page(ctl: str, ticket: str) -> dict[str, Any] | None:
    value = kamcmd(ctl, "htable.get", "noc", f"s:reply:{ticket}").partition("value: ")[2]
    page: dict[str, Any] | None = json.loads(value.splitlines()[0]) if value else None
    return page


def _environment() -> dict[str, str]:
    """Return the environment with the folders where Debian keeps an operator's programs."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin"}
