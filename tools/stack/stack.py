"""A stack from outside: start it, ask about it, end it. Used by the command line and by the tests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, cast

from tools.errors import OperatorError
from tools.stack import leftovers, process, state
from tools.stack.layout import Layout, venv_bin
from tools.stack.lock import Lock
from tools.wait import DeadlineError, until

STOP_DEADLINE_S = 60.0
READY_DEADLINE_S = 60.0


def _quiet(_: str) -> None:
    """Tell nobody."""


class Stack:
    """The stack of one run directory, running or not.

    settings: environment variables of the start (TANDEM_GRACE_S, …), beside those of this process.
    """

    def __init__(self, layout: Layout, settings: Mapping[str, str] | None = None) -> None:
        """Take where it lives; nothing is started."""
        self.layout = layout
        self._settings = dict(settings or {})

    def start(self, say: Callable[[str], None] = _quiet, *, only: Iterable[str] = (), tied: bool = False) -> None:
        """Start it in the background and return when it serves.

        say: told each step. only: names of parts, all by default. tied: it ends when this process ends, however.
        Raises OperatorError with the reason when it does not start; nothing runs then.
        """
        options = [f"--only={','.join(only)}"] if only else []
        options += [f"--tied-to={os.getpid()}"] if tied else []
        supervisor = subprocess.Popen(
            [str(venv_bin() / "tandem"), "stack", "run", "--background", *options],
            env={**os.environ, **self._settings, **self._place()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        output, errors = cast("IO[str]", supervisor.stdout), cast("IO[str]", supervisor.stderr)
        try:
            for line in output:  # it closes both when it is up, or ends
                say(line.rstrip("\n"))
            problem = errors.read().strip()
        except BaseException:
            supervisor.terminate()
            supervisor.wait(STOP_DEADLINE_S)
            raise
        finally:
            output.close()
            errors.close()
        found = self.state()
        if found is None or found.supervisor.pid != supervisor.pid:
            supervisor.wait(STOP_DEADLINE_S)
            raise OperatorError(problem or f"the stack did not start: see {self.layout.log_dir}/supervisor.log")
        supervisor.returncode = 0  # it is on its own now; a Popen that is forgotten would warn

    def stop(self) -> bool:
        """End every process of the stack. Returns whether there was any. Raises OperatorError when that fails."""
        found = self.state()
        if found and process.alive(found.supervisor):
            _ask_to_stop(found.supervisor)
            return True
        if not self.layout.lock_file.exists():
            return False
        with Lock(self.layout):
            return leftovers.clean(self.layout) > 0

    def state(self) -> state.State | None:
        """Return what the supervisor wrote last, None when no stack was started or it was stopped."""
        return state.read(self.layout.state_file)

    def running(self) -> bool:
        """Whether its supervisor lives and has brought it up."""
        found = self.state()
        return bool(found and found.phase == "up" and process.alive(found.supervisor))

    def env(self) -> dict[str, str]:
        """Return the content of `env` in the run directory. Raises OperatorError when no stack is up."""
        values = state.read_env(self.layout.env_file)
        if not values:
            raise OperatorError(f"no stack is up in {self.layout.run_dir}: `make up` starts one")
        return values

    def pid(self, name: str) -> int:
        """Return the process id of a part. Raises OperatorError when it does not run at the moment."""
        return self._process(name).pid

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a part's main process, as an operator or an accident would."""
        process.send(self._process(name), number)

    def take_away(self, name: str) -> None:
        """Kill a part and keep it from being started again, as if its machine had died. Raises OperatorError."""
        who = self._process(name)
        self.layout.away_dir.mkdir(exist_ok=True)
        (self.layout.away_dir / name).touch()
        process.send(who, signal.SIGKILL)

    def bring_back(self, name: str) -> None:
        """Let a part that was taken away be started again."""
        (self.layout.away_dir / name).unlink(missing_ok=True)

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Return when every part serves. Raises DeadlineError."""
        until(self._all_ready, deadline_s, "every part of the stack to serve")

    def restart(self, name: str, deadline_s: float = READY_DEADLINE_S) -> None:
        """End a part and return when its next process serves. Raises OperatorError."""
        before = self._process(name)
        process.send(before, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        try:
            until(lambda: self._replaced(name, before), deadline_s, f"{name} to serve again")
        except DeadlineError as error:
            raise OperatorError(f"{error}: see {self.layout.log_dir}/{name}.log") from error

    def _replaced(self, name: str, before: process.Identity) -> bool:
        found = self.state()
        now = found.process(name) if found else None
        return bool(now and now.ready and now.who != before)

    def _all_ready(self) -> bool:
        found = self.state()
        return bool(found and all(row.who and row.ready and process.alive(row.who) for row in found.processes))

    def _process(self, name: str) -> process.Identity:
        found = self.state()
        row = found.process(name) if found else None
        if row is None or row.who is None:
            names = ", ".join(row.name for row in found.processes if row.who) if found else "nothing"
            raise OperatorError(f"{name} does not run in {self.layout.run_dir}; what runs: {names}")
        return row.who

    def _place(self) -> dict[str, str]:
        layout = self.layout
        return {
            "RUN_DIR": str(layout.run_dir),
            "TANDEM_LISTEN": str(layout.listen),
            "TANDEM_LISTEN6": layout.listen6_setting,
            "TANDEM_NODES": str(layout.nodes_n),
            "TANDEM_REPLICAS": str(layout.replicas_n),
            "TANDEM_REDIS_PORT": str(layout.redis_port),
            "TANDEM_RTPENGINE": str(int(layout.has_relay)),
            "TANDEM_METRICS": str(layout.metrics_port),
        }


@contextmanager
def running_or_started(stack: Stack, say: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """Yield the environment of the stack, started for this purpose and stopped afterwards unless it ran."""
    mine = not stack.running()
    if mine:
        stack.start(say, tied=True)
    try:
        yield stack.env()
    finally:
        if mine:
            stack.stop()


def _ask_to_stop(supervisor: process.Identity) -> None:
    try:
        process.send(supervisor, signal.SIGTERM)
        until(lambda: not process.alive(supervisor), STOP_DEADLINE_S, "the supervisor to end")
    except PermissionError as error:
        raise OperatorError(
            f"the stack (pid {supervisor.pid}) belongs to another user: stop it as that user"
        ) from error
    except DeadlineError as error:
        raise OperatorError(
            f"the stack (pid {supervisor.pid}) does not end: kill -9 it, then run this again"
        ) from error
