"""One process that starts the stack in order, starts again what dies, and ends all of it.

Rule 1: it has one thread and its signals are blocked; it learns of them only in `_pause`. Rule 2: whatever way it ends,
short of SIGKILL, its children end before it. Rule 3: it never signals a process that it did not start.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from tools.errors import OperatorError
from tools.stack import leftovers, process, state
from tools.stack.child import Child, become_subreaper
from tools.stack.layout import Layout
from tools.stack.lock import Lock
from tools.stack.parts import Part, Plan

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0
STEADY_S = 10.0
"""A process that lived so long and dies starts again without the waits of those that keep dying."""
REMIND_S = 2.0
"""A Kamailio that is stopped as it starts waits for a child that missed its signal; a second one, to all, ends it."""
PROBE_S = 0.05
IDLE_S = 1.0


class StopAskedError(Exception):
    """Somebody asked the stack to stop."""


@dataclass(slots=True)
class _Running:
    """A part and its present process. due: when to start it again, on the monotonic clock."""

    part: Part
    child: Child | None = None
    ready: bool = False
    restarts: int = 0
    quick_deaths: int = 0
    began: float = field(default_factory=time.monotonic)
    due: float = 0.0


class Supervisor:
    """Runs one plan in one run directory."""

    def __init__(self, layout: Layout, say: Callable[[str], None]) -> None:
        """Take where the stack lives, and who is told in one line each what happens. Raises OperatorError."""
        me = process.identity(os.getpid())
        if me is None:
            raise OperatorError("/proc does not show this process: mount it, processes are told apart by it")
        self._me = me
        self._layout = layout
        self._say = say
        self._running: list[_Running] = []
        self._phase = "starting"

    def run(self, make_plan: Callable[[], Plan], on_ready: Callable[[], None]) -> None:
        """Start the plan, call `on_ready`, keep everything running, return when asked to stop.

        make_plan: checks the machine and returns the plan; called once the run directory is ours alone.
        Raises OperatorError when the start fails; nothing runs then.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS | {signal.SIGCHLD})
        become_subreaper()
        with Lock(self._layout) as self._lock:
            leftovers.clean(self._layout)
            for name in self._layout.away_dir.glob("*"):
                name.unlink()
            self._write_state()
            try:
                self._start(make_plan())
                self._phase = "up"
                self._write_state()
                on_ready()
                while True:
                    self._tend()
            except StopAskedError:
                self._say("stopping")
            finally:
                self._stop()

    def _start(self, plan: Plan) -> None:
        for item in plan:
            if not isinstance(item, Part):
                self._say(item.name)
                item.do(self._run_to_end)
                continue
            self._say(f"starting {item.name}")
            running = _Running(item)
            self._running.append(running)
            self._spawn(running)
            if item.is_awaited:
                self._await(running)
        for running in self._running:
            if not running.ready:
                self._await(running)

    def _await(self, running: _Running) -> None:
        self._until(running.part.ready, running.part.start_s, running.part.name)
        running.ready = True
        self._write_state()

    def _until(self, condition: Callable[[], bool], deadline_s: float, name: str) -> None:
        """Wait while nothing dies. Raises OperatorError after `deadline_s`, or with the last words of the dead."""
        end = time.monotonic() + deadline_s
        while True:
            for running in self._running:
                if running.child and running.child.ended():
                    raise OperatorError(_death(running.part.name, running.child, running.child.reap()))
            if condition():
                return
            if time.monotonic() > end:
                raise OperatorError(
                    f"{name} was not ready after {deadline_s:g} s: see {self._layout.log_dir}/{name}.log"
                )
            self._pause(PROBE_S)

    def _run_to_end(self, name: str, argv: tuple[str, ...], env: Mapping[str, str], deadline_s: float) -> None:
        log = self._layout.log_dir / f"{name}.log"
        child = Child(argv, self._marked(env), log, signal.SIGTERM)
        try:
            self._until(child.ended, deadline_s, name)
        finally:
            how = child.reap()
        if not child.succeeded():
            raise OperatorError(_death(name, child, how))

    def _spawn(self, running: _Running) -> None:
        part = running.part
        try:
            part.prepare()
            log = self._layout.log_dir / f"{part.name}.log"
            running.child = Child(part.argv, self._marked(part.env), log, part.stop_signal)
        except OSError as error:
            raise OperatorError(f"{part.name} cannot start: {error}") from error
        running.ready, running.began = False, time.monotonic()
        self._write_state()

    def _tend(self) -> None:
        """Look after every part once, then wait for the next event."""
        now = time.monotonic()
        for running in self._running:
            if running.child is None:
                if now >= running.due and not (self._layout.away_dir / running.part.name).exists():
                    self._start_again(running)
            elif running.child and running.child.ended():
                self._bury(running, running.child)
            elif running.child and not running.ready and running.part.ready():
                running.ready = True
                self._write_state()
        self._check_ownership()
        self._pause(IDLE_S if all(running.ready for running in self._running) else PROBE_S)

    def _bury(self, running: _Running, child: Child) -> None:
        how = child.reap()
        self._end_orphans()
        lived_s = time.monotonic() - running.began
        running.quick_deaths = 0 if lived_s > STEADY_S else running.quick_deaths + 1
        wait_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(max(running.quick_deaths - 1, 0), 10))
        running.child, running.ready, running.due = None, False, time.monotonic() + wait_s
        self._write_state()
        self._say(f"{running.part.name} (pid {child.pid}) {how} after {lived_s:.0f} s; starts again in {wait_s:g} s")

    def _start_again(self, running: _Running) -> None:
        running.restarts += 1
        try:
            self._spawn(running)
        except OperatorError as error:
            running.quick_deaths += 1
            running.due = time.monotonic() + BACKOFF_MAX_S
            self._say(f"{error}; next try in {BACKOFF_MAX_S:g} s")

    def _end_orphans(self) -> None:
        """End the descendants whose parent, a part, died without them: this process inherits exactly those."""
        known = {running.child.pid for running in self._running if running.child}
        for pid in set(process.children(os.getpid())) - known:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _stop(self) -> None:
        """End every part, last started first, politely and then not."""
        self._phase = "stopping"
        self._write_state()
        for running in reversed(self._running):
            if running.child:
                self._end(running.part, running.child)
        self._end_orphans()
        self._layout.env_file.unlink(missing_ok=True)
        self._layout.state_file.unlink(missing_ok=True)

    def _end(self, part: Part, child: Child) -> None:
        child.send(part.stop_signal)
        if not self._ends_within(child, min(REMIND_S, part.stop_s)):
            child.remind(part.stop_signal)
            self._ends_within(child, part.stop_s - REMIND_S)
        if not child.ended():
            self._say(f"{part.name} did not stop within {part.stop_s:g} s and is killed")
            child.send(signal.SIGKILL)
        child.reap()
        next(running for running in self._running if running.child is child).child = None

    def _ends_within(self, child: Child, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not child.ended() and time.monotonic() < end:
            signal.sigtimedwait({signal.SIGCHLD}, PROBE_S)
        return child.ended()

    def _check_ownership(self) -> None:
        """Stop when the run directory was removed: the next start would know nothing of this one."""
        if self._lock.lost():
            self._say(f"{self._layout.run_dir} was removed")
            raise StopAskedError

    def _pause(self, seconds: float) -> None:
        """Wait for a signal, `seconds` at most. Raises StopAskedError."""
        info = signal.sigtimedwait(STOP_SIGNALS | {signal.SIGCHLD}, seconds)
        if info and info.si_signo in STOP_SIGNALS:
            raise StopAskedError

    def _marked(self, env: Mapping[str, str]) -> dict[str, str]:
        return {**env, process.MARK: str(self._layout.run_dir)}

    def _write_state(self) -> None:
        rows = tuple(
            state.ProcessState(
                running.part.name, running.child.who if running.child else None, running.restarts, running.ready
            )
            for running in self._running
        )
        # A full disk must not end what still runs: the next start also finds processes by their mark.
        with suppress(OSError):
            state.write(self._layout.state_file, state.State(self._me, self._phase, rows))


def _death(name: str, child: Child, how: str) -> str:
    words = child.last_words()
    return f"{name} {how} while the stack started" + (f"; its last words:\n{words}" if words else "")
