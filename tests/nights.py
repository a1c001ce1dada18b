"""The nights of NOC.md, and their own command lines: what tests rehearse is what the page says, word for word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.wait import DeadlineError, until

ROOT: Final = Path(__file__).resolve().parents[1]
TANDEM: Final = ".venv/bin/tandem "
PROGRAMS: Final = (TANDEM, "kamcmd ")
PLACE: Final = re.compile(r"(?<![$\w-])[A-Z]{3,}(?:-[A-Z]+)*\b")
"""A word in capitals that whoever types the line fills in; not a variable of the shell."""
NIGHT: Final = re.compile(r"^### (.+)$", re.MULTILINE)
SOON_S: Final = 15.0
RUN_S: Final = 90.0


def page() -> dict[str, str]:
    """Return title -> text of each night of NOC.md, in its order."""
    text = (ROOT / "NOC.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## Nights$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    _, *parts = NIGHT.split(section)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def lines_of(text: str) -> list[str]:
    """Return the commands of a night: its indented lines."""
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


class Night:
    """One night. env: what tells commands where to ask. words: what stands for the words in capitals."""

    def __init__(self, title: str, env: Mapping[str, str], **words: object) -> None:
        self.lines = lines_of(page()[title])
        self.words = words
        self._env = {**os.environ, "COLUMNS": "400", **env}
        self._env["PATH"] += ":/usr/sbin:/usr/bin"
        self._asked: set[str] = set()

    def run(self, begin: str, status: int = 0) -> str:
        """Run the line that begins so, as it is typed; return what it prints. status: what it must end with."""
        done = self._done(begin)
        assert done.returncode == status, f"{done.args} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def shows(self, begin: str, *wanted: str, status: int | None = 0) -> str:
        """Run a line again and again until it ends so and each of `wanted` is in what it prints; return that.

        status: None = as may be. Raises DeadlineError with what it prints.
        """
        seen: list[subprocess.CompletedProcess[str]] = []

        def is_shown() -> bool:
            seen[:] = [self._done(begin)]
            return status in (None, seen[0].returncode) and all(word in _flat(seen[0].stdout) for word in wanted)

        try:
            until(is_shown, SOON_S, f"{wanted} from {begin}")
        except DeadlineError as error:
            raise DeadlineError(f"{error}; it prints:\n{seen[0].stdout}{seen[0].stderr}") from error
        return _flat(seen[0].stdout)

    @contextmanager
    def started(self, begin: str) -> Iterator[subprocess.Popen[bytes]]:
        """Let the line run beside the test, as a service does; it is ended afterwards."""
        words = shlex.split(self._typed(begin))
        with subprocess.Popen(
            words, cwd=ROOT, env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def unused(self) -> Sequence[str]:
        """Return the lines of the page that have not been run."""
        return [line for line in self.lines if line not in self._asked]

    def _done(self, begin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", self._typed(begin)],
            cwd=ROOT,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )

    def _typed(self, begin: str) -> str:
        """Return the one line of the page that begins so (the whole of it first), filled in."""
        bare = {line: line.removeprefix(TANDEM) for line in self.lines}
        found = [line for line in self.lines if begin == bare[line]]
        found = found or [line for line in self.lines if bare[line].startswith(begin)]
        assert len(found) == 1, f"{begin!r}: {found} of {self.lines}"
        self._asked.add(found[0])
        return PLACE.sub(lambda place: shlex.quote(str(self.words[place[0].replace("-", "_").lower()])), found[0])


@contextmanager
def night(title: str, env: Mapping[str, str], **words: object) -> Iterator[Night]:
    """Rehearse a night: afterwards every line of it has been run."""
    made = Night(title, env, **words)
    yield made
    assert made.unused() == [], "lines of the page that nobody ran"


def _flat(text: str) -> str:
    """Return a page without the frames of its tables: cells of a row are apart by one blank."""
    return "\n".join(" ".join(re.sub(r"[│┃|]", " ", line).split()) for line in text.splitlines())
