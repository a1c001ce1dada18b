"""A piece of a benchmark in a process of its own: it works until it is told to stop, and then gives its result."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any, Final

from tools.errors import OperatorError

ANSWER_S: Final = 120.0


class Spawned:
    """A process under way."""

    def __init__(self, process: BaseProcess, stop: Event, pipe: Connection) -> None:
        self._process = process
        self._stop = stop
        self._pipe = pipe

    def result(self) -> Any:
        """Stop it and return what it found. Raises OperatorError when it died, or says nothing for two minutes."""
        self._stop.set()
        with suppress(EOFError):
            if self._pipe.poll(ANSWER_S):
                return self._pipe.recv()
        raise OperatorError(f"{self._process.name} ended without a result: its words stand above")


@contextmanager
def spawned(work: Callable[..., None], *arguments: object) -> Iterator[Spawned]:
    """Run `work(*arguments, stop, pipe)` until the block ends. It sends something when it begins, then its result."""
    context = multiprocessing.get_context("spawn")  # threads and connections of this process stay here
    stop, (ours, theirs) = context.Event(), context.Pipe(duplex=False)
    process = context.Process(target=work, args=(*arguments, stop, theirs), name=work.__name__.strip("_"), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(ANSWER_S):
            raise OperatorError(f"{process.name} did not begin")
        with suppress(EOFError):
            ours.recv()
        yield Spawned(process, stop, ours)
    finally:
        stop.set()
        process.join(1)
        process.kill()
        process.join()
        ours.close()
