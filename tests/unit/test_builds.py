"""A node takes the build of its very sources and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from kemi import builds


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project with a source, without a build."""
    (tmp_path / "kemi" / "core").mkdir(parents=True)
    (tmp_path / "kemi" / "core" / "decide.py").write_text("ONE = 1\n")
    return tmp_path


def built(root: Path) -> Path:
    folder = root / builds.FOLDER / builds.digest(root)
    folder.mkdir(parents=True)
    return folder


def test_without_a_build_a_node_runs_its_sources(root: Path) -> None:
    assert builds.home(root, "") == root
    assert builds.name(root, root) == "plain"


def test_the_build_of_these_sources_is_taken_unless_nobody_wants_it(root: Path) -> None:
    folder = built(root)
    assert builds.home(root, "") == folder
    assert builds.name(root, folder) == f"compiled {folder.name}"
    assert builds.home(root, "plain") == root


@pytest.mark.parametrize("file", ["core/decide.py", "core/new.py", "money.lua"])
def test_a_build_of_other_sources_is_none(root: Path, file: str) -> None:
    built(root)
    (root / "kemi" / file).write_text("TWO = 2\n")
    assert builds.home(root, "") == root


def test_what_running_leaves_behind_changes_nothing(root: Path) -> None:
    folder = built(root)
    (root / "kemi" / "__pycache__").mkdir()
    (root / "kemi" / "__pycache__" / "decide.cpython-311.pyc").write_bytes(b"x")
    assert builds.home(root, "") == folder
