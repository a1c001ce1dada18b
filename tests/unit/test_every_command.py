"""Every command of the tool stands in tools/COMMANDS.md with an example that is right, and is run by a test.

What runs it is found by a static scan: its words, one behind the other, in a call, a tuple or a line of a story.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit.test_every_message import constants
from tools.cli import COMMANDS
from tools.lazy import real

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = "tools/COMMANDS.md"
IMPLIED: Final = {
    "tests/integration/test_imports.py": "import",
    "tests/integration/test_import_rows.py": "import",
    "tests/integration/test_operators_view.py": "import",
    "tests/integration/test_report.py": "report",
    "tests/integration/test_settle_poison.py": "settle poison",
}
"""Files whose worlds run the commands of one group; its name is in no line of them."""
NOT_RUN: Final = {"bench money": "measures for minutes; its parts are tested in test_settle_bench.py"}
_ROW: Final = re.compile(r"^\| `tandem (?P<line>.*?)` \| (?P<help>.*) \|$")


def leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield the words of each command that does something, and the command."""
    below = getattr(command, "commands", {})
    if not below or command.invoke_without_command:
        yield " ".join(words), command
    for name, each in below.items():
        yield from leaves(each, (*words, name))


MADE: Final = {line: command for each in COMMANDS for line, command in leaves(real(each), (each.name,))}


def rows() -> list[tuple[str, str, str]]:
    """Return (command, example, what it does) of each row of the page."""
    found = []
    for text in (ROOT / PAGE).read_text(encoding="utf-8").splitlines():
        if match := _ROW.match(text):
            line = match["line"].replace(r"\|", "|")
            known = [name for name in MADE if line == name or line.startswith(f"{name} ")]
            found.append((max(known, key=len, default=""), line, match["help"].replace(r"\|", "|")))
    return found


def phrases() -> Iterator[str]:
    """Yield what tests may run: each line of a story, each text, and texts that stand one behind the other."""
    for path in sorted((ROOT / "tests").rglob("*")):
        if path.suffix == ".txt":
            yield from path.read_text(encoding="utf-8").splitlines()
        if path.suffix != ".py" or path == Path(__file__):
            continue
        implied = IMPLIED.get(str(path.relative_to(ROOT)), "")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            said = _said(node)
            yield said
            if implied:
                yield f"{implied} {said}"


def _said(node: ast.AST) -> str:
    """Return the texts of a call's arguments, of a tuple, of a list or of one string, with blanks between them."""
    match node:
        case ast.Call(args=items) | ast.Tuple(elts=items) | ast.List(elts=items):
            inner = [
                each for item in items for each in (item.elts if isinstance(item, ast.List | ast.Tuple) else [item])
            ]
            return " ".join("".join(constants(each)) or "…" for each in inner)
        case _:
            return "…".join(constants(node))


def test_the_page_has_every_command_and_no_other() -> None:
    assert sorted(name for name, _, _ in rows()) == sorted(MADE)
    assert f"({PAGE})" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "line", "help_"), rows(), ids=[name for name, _, _ in rows()])
def test_an_example_is_of_options_that_there_are(name: str, line: str, help_: str) -> None:
    command = MADE[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    words = shlex.split(line.removeprefix(name))
    assert {word for word in words if word.startswith("--") and word != "--"} <= known
    assert help_ == " ".join(command.help.split("\n\n")[0].split())


def test_every_command_is_run_by_a_test() -> None:
    text = "\n".join(phrases())
    run = {name for name in MADE if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)}
    assert set(MADE) - run == set(NOT_RUN)
