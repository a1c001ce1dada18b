"""Mutation of the decision core: small faults planted one by one, each of which some test has to find.

    make mutants-core                                        all files in CORE
    python -m tests.routing.mutants order hunt --minutes 10  only these

Works on a copy below a temporary folder, by mutmut: it plants all faults at once behind switches, learns which tests
reach which function, and lets only those look at each fault. First the routing corpus and the unit tests named after a
module of the core; what survives those meets the property tests too. Survivors are printed with what was changed.
Faults in tables at module level and in functions with decorators are not planted. Each is tried in a fork of a process
that has run no test: else what a cache remembers would hide it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
CORE: Final = (
    *("candidates", "offers", "order", "hunt", "barring", "ported", "destinations", "time_sets", "inbound", "sources"),
    *("caller_id", "asserted", "targets", "rewrite", "numbers", "emergency", "called", "chains"),
    *("dialled", "forwards", "walk", "groups", "flows", "leaps", "callees", "staging", "reach", "again"),
)
OTHERS: Final = {"told", "hunt_stages"}  # unit tests of the core that are named after no file of it
COPIED: Final = ("kemi", "tests", "tools", "pyproject.toml")
CONFIG: Final = """
[tool.mutmut]
source_paths = ["kemi"]
only_mutate = {mutated}
also_copy = ["tools"]
process_isolation = "forkserver"
pytest_add_cli_args = ["-q", "-p", "no:randomly", "--timeout=60"]
pytest_add_cli_args_test_selection = {tests}
"""
CHILDREN: Final = 2
REPEATABLE: Final = {"CI": "true"}  # Hypothesis then tries the same inputs each time, and slow ones are no failure
SURVIVED: Final = "survived"
UNCHECKED: Final = "not checked"
LOG_TOLD: Final = 4_000  # characters

_RESULT: Final = re.compile(r"^\s*(kemi\.core\S+): (\w.*)$")
_CHANGED: Final = re.compile(r"^[-+](?![-+])")


class Mutants(NamedTuple):
    """How the faults of one file fared: how many were found, what was planted where they were not, and the rest."""

    module: str
    found: int
    survivors: tuple[str, ...]
    unfinished: int


def main() -> int:
    """Plant, and tell what survived; 0 whatever that is: survivors are for people to judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=CORE, help="of kemi/core, without .py")
    parser.add_argument("--minutes", type=float, default=60, help="for all of them; what is not reached is told")
    arguments = parser.parse_args()
    modules: list[str] = arguments.modules
    end_s = monotonic() + arguments.minutes * 60
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name) / "tree"
        results = _planted(folder, modules, end_s)
        for module in modules:
            _tell(_of_module(folder, module, results))
    return 0


def _planted(folder: Path, modules: Sequence[str], end_s: float) -> dict[str, str]:
    """Return how each fault fared, by its name: what the fast tests left alive meets the property tests."""
    _copy(folder)
    names = sorted({path.stem for path in (ROOT / "kemi/core").glob("*.py")} | OTHERS)
    unit = [f"tests/unit/test_{name}.py" for name in names]
    _configure(folder, modules, [*filter(_exists, unit), "tests/routing/test_cases.py", "tests/routing/test_hunts.py"])
    _run(folder, (), end_s)
    results = dict(_results(folder))
    alive = [name for name, result in results.items() if result == SURVIVED]
    laws = ["tests/routing/test_cold.py"]
    laws += [f"tests/property/test_{name}.py" for name in dict.fromkeys(("decide", "routing", *modules))]
    if alive and monotonic() < end_s:
        _configure(folder, modules, filter(_exists, laws))
        shutil.rmtree(folder / "mutants")
        _run(folder, alive, end_s)
        results.update((name, result) for name, result in _results(folder) if name in alive and result == "killed")
    return results


def _of_module(folder: Path, module: str, results: Mapping[str, str]) -> Mutants:
    own = {name: result for name, result in results.items() if name.startswith(f"kemi.core.{module}.")}
    survived = [name for name, result in own.items() if result in (SURVIVED, "no tests")]
    unfinished = sum(result == UNCHECKED for result in own.values())
    told = tuple(_what(folder, module, name) for name in survived)
    return Mutants(module, len(own) - len(survived) - unfinished, told, unfinished)


def _exists(test: str) -> bool:
    return (ROOT / test).exists()


def _copy(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def _configure(folder: Path, modules: Iterable[str], tests: Iterable[str]) -> None:
    mutated = [f"kemi/core/{module}.py" for module in modules]
    config = CONFIG.format(mutated=json.dumps(mutated), tests=json.dumps(list(tests)))
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + config)


def _run(folder: Path, names: Sequence[str], end_s: float) -> None:
    """Let mutmut work until it is done or the time is over; then it and all its children are stopped."""
    arguments = [_program(), "run", "--max-children", str(CHILDREN), *names]
    with (folder / "mutmut.log").open("w") as log:
        process = subprocess.Popen(
            arguments, cwd=folder, stdout=log, stderr=log, start_new_session=True, env=os.environ | REPEATABLE
        )
        try:
            process.wait(max(1.0, end_s - monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if all(result == UNCHECKED for _, result in _results(folder)):
        raise SystemExit(f"mutmut checked nothing:\n{(folder / 'mutmut.log').read_text()[-LOG_TOLD:]}")


def _results(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield every planted fault by name, and how it fared."""
    shown = _mutmut(folder, "results", "--all", "true")
    for line in shown.splitlines():
        match = _RESULT.match(line)
        if match:
            yield match[1], match[2]


def _what(folder: Path, module: str, name: str) -> str:
    """Return where a fault was planted, and the lines before and after."""
    shown = _mutmut(folder, "show", name)
    changed = [line for line in shown.splitlines() if _CHANGED.match(line)]
    before = next((line[1:] for line in changed if line.startswith("-")), "")
    number = _line_of(module, name, before)
    return "\n".join(
        (f"kemi/core/{module}.py:{number} {name.rpartition('.')[2]}", *(f"    {line}" for line in changed))
    )


def _line_of(module: str, name: str, text: str) -> int:
    """Return the number of a line within the function that the fault's name tells; 0 when it is not found."""
    function = re.sub(r"__mutmut_\d+$", "", name.rpartition(".")[2])
    function = re.split("ǁ", function)[-1].removeprefix("x_")
    lines = (ROOT / f"kemi/core/{module}.py").read_text().splitlines()
    begin = next((at for at, line in enumerate(lines) if re.match(rf"\s*def {re.escape(function)}\(", line)), 0)
    return next((at + 1 for at, line in enumerate(lines[begin:], begin) if line.strip() == text.strip()), 0)


def _mutmut(folder: Path, *arguments: str) -> str:
    return subprocess.run([_program(), *arguments], cwd=folder, capture_output=True, text=True, check=False).stdout


def _program() -> str:
    return str(Path(sys.executable).parent / "mutmut")


def _tell(mutants: Mutants) -> None:
    survived = len(mutants.survivors)
    sys.stdout.write(
        f"{mutants.module}: {mutants.found} found, {survived} survived, {mutants.unfinished} not reached\n"
    )
    for survivor in mutants.survivors:
        sys.stdout.write(f"  {survivor}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
