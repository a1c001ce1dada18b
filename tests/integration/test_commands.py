"""Whatever a command is given, it says one sentence: no trace, and no password."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.settle_pair import ROOT

DEADLINE_S = 60
COMMANDS = (
    ("migrate",),
    ("sync", "--once"),
    ("sync", "--verify"),
    ("settle", "--once"),
    ("settle", "--verify"),
    ("settle", "poison", "list"),
    ("recover", "--accept-past"),
    ("account", "list"),
    ("carrier", "list"),
    ("exchange", "list"),
    ("subscriber", "list"),
    ("tariff", "prices", "retail"),
    ("import", "list"),
    ("explain", "--call-id", "x"),
    ("report", "cdr", "--from", "2026-01-01"),
)
NO_ADDRESS = "DATABASE_URL is no address of a database"
UNREADABLE = (
    "postgres//u:SECRET@h/db",
    "postgresql://u:SEC%zzRET@h/db",
    "postgresql://u:SECRET/x@h/db",
    "postgresql://u:x@SECRET@h/db",
    "postgresql:///u:SECRET@h/db",
    "postgresql://u:SECRET x@h/db",
    "SECRET",
)


def said(*words: str | bytes, **env: str | bytes) -> str:
    """Run a command that must fail; return its one sentence."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")}
    given: dict[str, str | bytes] = {**clean, "DATABASE_URL": "", "REDIS_URL": "redis://127.0.0.1:1/0", **env}
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", *words], cwd=ROOT, env=given, capture_output=True, timeout=DEADLINE_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    sentence = done.stderr.decode()
    assert "Traceback" not in sentence
    assert sentence.count("\n") == 1, sentence
    return sentence


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_command_repeats_an_address_that_cannot_be_read(words: tuple[str, ...]) -> None:
    sentence = said(*words, DATABASE_URL=UNREADABLE[0])
    assert NO_ADDRESS in sentence
    assert "SECRET" not in sentence


@pytest.mark.parametrize("url", UNREADABLE[1:])
def test_no_address_that_cannot_be_read_is_repeated(url: str) -> None:
    sentence = said("account", "list", DATABASE_URL=url)
    assert NO_ADDRESS in sentence
    assert "SECRET" not in sentence


@pytest.mark.parametrize(
    "words",
    [
        ("account", "show", b"\xff"),
        ("account", "topup", "Alpha", "1", "--note", b"\xff"),
        ("account", "topup", "Alpha", "1", "--request", b"x\xff"),
        ("account", "lock", "Alpha", "all", "--note", b"\xc3"),
        ("account", "alerts", b"\xff"),
        ("carrier", "show", b"\xed\xa0\x80"),
        ("subscriber", "set", "alice", "--region", b"\xff"),
    ],
)
def test_bytes_that_are_no_utf_8_are_refused_by_their_place(words: tuple[str | bytes, ...]) -> None:
    place = next(at for at, word in enumerate(words, 1) if isinstance(word, bytes))
    sentence = said(*words, DATABASE_URL="postgresql:///x?host=/nowhere")
    assert sentence.startswith(f"word {place}: ")
    assert sentence.endswith("has bytes that are no UTF-8\n")


def test_bytes_of_the_environment_are_refused_by_their_name_and_a_url_is_not_repeated() -> None:
    assert said("account", "list", TANDEM_ACTOR=b"\xff").startswith("TANDEM_ACTOR: ")
    for words, env in (
        (("list",), b"postgresql://u:SECRET\xff@h/db"),
        (("list", "--database-url", b"x://SECRET\xff"), ""),
    ):
        sentence = said("account", *words, DATABASE_URL=env)
        assert "no UTF-8" in sentence
        assert "SECRET" not in sentence


def test_a_list_of_none_is_refused_by_its_option() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "settle", "poison", "list", "--limit", "-1"], cwd=ROOT,
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--limit" in done.stderr
    assert "LIMIT must not be negative" not in done.stderr
