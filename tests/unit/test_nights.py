"""The nights of NOC.md: twelve, each rehearsed by a test of its name, of alerts that there are."""

from __future__ import annotations

import ast
import re
from typing import Final

import pytest

from tests.nights import PROGRAMS, ROOT, lines_of, page

NIGHTS: Final = page()
ALERT: Final = re.compile(r"\bTandem[A-Z]\w+")


def rehearsed() -> set[str]:
    """Return the names of the tests that rehearse a night."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in ROOT.glob("tests/integration/test_nights*.py")]
    found = [node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {name for name in found if name.startswith("test_")}


def test_each_night_has_its_rehearsal_and_each_rehearsal_its_night() -> None:
    names = {f"test_{'_'.join(re.findall('[a-z]+', title.lower()))}" for title in NIGHTS}
    assert len(names) == len(NIGHTS) == 12
    assert names == rehearsed()


@pytest.mark.parametrize("title", NIGHTS)
def test_a_night_says_what_to_type_what_it_means_what_to_do_and_when_it_is_over(title: str) -> None:
    text = NIGHTS[title]
    assert lines_of(text)
    assert all(line.startswith(PROGRAMS) for line in lines_of(text))
    assert [word for word in ("*Means:*", "*Do:*", "*Over:*") if word not in text] == []


def test_the_alerts_of_the_nights_are_those_that_ring() -> None:
    named = {name for text in NIGHTS.values() for name in ALERT.findall(text)}
    rules = (ROOT / "tools" / "monitoring" / "alerts.yml").read_text(encoding="utf-8")
    assert named
    assert named <= set(re.findall(r"alert: (\w+)", rules))
