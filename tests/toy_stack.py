"""A stack of shells under the real supervisor, for tests of supervision alone.

Run as a program: RUN_DIR says where, TOY_PARTS is a JSON object name -> shell command. A part serves once it has made
`RUN_DIR/<name>.ready`, or at once when its command does not speak of that.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tools.errors import OperatorError
from tools.stack import leftovers
from tools.stack.layout import Layout
from tools.stack.parts import Part, Plan
from tools.stack.supervisor import Supervisor

STOP_S = 1.0


def _part(name: str, command: str, run_dir: Path) -> Part:
    def ready() -> bool:
        return "$READY" not in command or (run_dir / f"{name}.ready").exists()

    env = {"PATH": os.environ["PATH"], "READY": str(run_dir / f"{name}.ready")}
    return Part(name, ("/bin/sh", "-c", command), env, ready=ready, start_s=5, stop_s=STOP_S)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the parts until SIGTERM."""
    layout = Layout.from_environment(os.environ)
    layout.log_dir.mkdir(parents=True, exist_ok=True)
    parts = json.loads(os.environ["TOY_PARTS"])

    def plan() -> Plan:
        return tuple(_part(name, command, layout.run_dir) for name, command in parts.items())

    leftovers.POLITE_S = STOP_S
    try:
        Supervisor(layout, _say).run(plan, lambda: None)
    except OperatorError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
