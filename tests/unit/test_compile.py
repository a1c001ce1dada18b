"""`make compile` says what is in its way, and leaves nothing half made."""

from __future__ import annotations

from pathlib import Path

import pytest

from kemi import builds
from tools import compile as compiling
from tools.errors import OperatorError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project whose only source says a number is a text."""
    (tmp_path / "kemi").mkdir()
    (tmp_path / "kemi" / "wrong.py").write_text('ONE: int = "one"\n')
    return tmp_path


def test_what_mypyc_refuses_is_told_and_no_build_is_left(root: Path) -> None:
    with pytest.raises(OperatorError, match=r"mypyc failed:\n(.|\n)*wrong\.py:1: error: Incompatible types"):
        compiling.compile_sources(root)
    assert list((root / builds.FOLDER).iterdir()) == []


def test_a_machine_without_a_compiler_is_told_what_installs_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "COMPILER", "no-such-compiler")
    with pytest.raises(OperatorError, match="there is no no-such-compiler: `make setup` installs it"):
        compiling.compile_sources(root)
