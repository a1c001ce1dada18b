"""Every sentence that an operator may read is one that a test has read before.

A static scan: the constant part of each OperatorError in tools/, the longest one, must stand in a text of the tests; a
test may also expect some words out of the middle of it. It does not prove that the test's refusal came from that line,
but a sentence that nobody has ever seen is found, and one that was changed without its test.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
WORDS_MIN: Final = 3  # of a test's text that is only a part of a sentence
EXCEPTIONS_MAX: Final = 10
UNSEEN: Final = {
    "tools/bench/": "a measurement that fails says so to who started it by hand; nothing stands on the words",
    "tools/prove/": "the proof's own servers died: to try it would need a broken proof",
    "still unknown after": "a guard against a loop of our own, in what-ifs and in proofs",
    "could not be decided": "the same guard in lint-routes",
    "do not end: end them": "a process that outlives kill -9 is one in the kernel's hands",
    "does not become what it was": "a trigger would have to change what an undo writes; guards a future one",
    "initdb failed": "needs a broken Debian package; the words are initdb's own",
    "/proc does not show this process": "needs a machine without /proc",
}
"""What no test has seen, by a folder or by words of the sentence, and why."""

_VALUE: Final = re.compile(r"\.\*\??|\.\+\??|\\[dwS]\+|\[[^]]*\][+*]?|\([^)]*\)|\{[^}]*\}")


class Sentence(NamedTuple):
    """A sentence of the tools: where, and its constant parts, the longest first."""

    place: str
    parts: tuple[str, ...]


def constants(node: ast.AST) -> Iterator[str]:
    """Yield the texts of a string as the source has them, without the values between them."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield from (part for value in values if isinstance(value, ast.Constant) for part in constants(value))
        case ast.BinOp(left=left, right=right):
            yield from (*constants(left), *constants(right))


def plain(text: str) -> str:
    """Return a text with single blanks, without the marks at its ends and without the escapes of a pattern."""
    return re.sub(r"\s+", " ", re.sub(r"\\([^a-zA-Z])", r"\1", text)).strip(" :;,.'\"()")


def sentences() -> Iterator[Sentence]:
    """Yield what is refused in tools/; a sentence that is all values, such as a server's own words, has no part."""
    for path in sorted((ROOT / "tools").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "OperatorError":
                parts = [plain(text) for each in node.args for text in constants(each)]
                known = sorted((part for part in parts if " " in part), key=len, reverse=True)
                yield Sentence(f"{path.relative_to(ROOT)}:{node.lineno}", tuple(known))


def expected() -> Iterator[str]:
    """Yield the texts of the tests that are no docstrings: strings of Python, lines of the stories."""
    for path in sorted((ROOT / "tests").rglob("*")):
        if path.suffix in {".txt", ".sql", ".toml"}:
            yield from path.read_text(encoding="utf-8").splitlines()
        if path.suffix != ".py" or path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                yield from constants(node)


def unseen() -> list[Sentence]:
    """Return the sentences that no text of the tests has."""
    texts = {part for text in expected() for part in map(plain, [text, *_VALUE.split(text)])}
    whole = "\n".join(texts)
    some = [text for text in texts if len(text.split()) >= WORDS_MIN]
    return [
        each
        for each in sentences()
        if each.parts and each.parts[0] not in whole and not any(text in part for text in some for part in each.parts)
    ]


def is_excused(sentence: Sentence, by: str) -> bool:
    """Tell whether an exception is meant for a sentence."""
    return sentence.place.startswith(by) or any(by in part for part in sentence.parts)


def test_every_sentence_is_seen_by_a_test() -> None:
    found = unseen()
    assert len(UNSEEN) < EXCEPTIONS_MAX
    assert [each for each in found if not any(is_excused(each, by) for by in UNSEEN)] == []
    assert {by for by in UNSEEN if not any(is_excused(each, by) for each in found)} == set(), "seen by now"
