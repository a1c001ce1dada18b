"""Wrong states cannot be stored, and the refusal is a sentence that says what is wrong.

The cases stand in sql_refusals.sql.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fix_postgres import Database

CASES = [
    case.removeprefix("-- ").split("\n", 1)
    for case in Path(__file__).with_name("sql_refusals.sql").read_text(encoding="utf-8").split("\n\n")
    if case.strip().endswith(";")
]


@pytest.mark.parametrize(("reason", "statement"), CASES, ids=[reason for reason, _ in CASES])
def test_wrong_state_is_refused(demo: Database, reason: str, statement: str) -> None:
    """The statement fails, and the message holds the reason."""
    assert reason in demo.refused(statement.encode())


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("x" * 257, "has 257 characters, at most 256 are allowed"),
        ("(", "is no regular expression"),
        (r"\bx", "uses an escape other than"),
        ("[[:digit:]]", "uses a named character class"),
        ("(?=x)", "uses a group other than"),
        ("(?P<a>x)", "uses a group other than"),
        ("(?i)x", "uses a group other than"),
        ("x\ty", "has a character that cannot be printed"),
        ("[[a]", "has a set that may mean two things"),
        ("[a--z]", "has a set that may mean two things"),
        ("[]", "has an empty set"),
        ("[9-0]", "has a range 9-0 in a set, which is none"),
        (r"[\d-z]", r"has a range \d-z in a set, which is none"),
        ("[0-9", "is no regular expression: [ stands alone"),
        ("x{,3}", "is no regular expression: { stands alone"),
        ("x{3,1}", "is no regular expression: {3,1} counts down"),
        ("^*", "is no regular expression: nothing stands before * that could be repeated"),
        ("a**", "repeats a repeat"),
        ("a*+", "repeats a repeat"),
        ("(a+)+$", "has nested or too many repeats"),
        ("((a+)b)*", "has nested or too many repeats"),
        ("(?:x|(?:a*))+", "has nested or too many repeats"),
        ("(a|ab)*", "has nested or too many repeats"),
        ("a*b*c*d*", "has nested or too many repeats"),
        (r"(\d{1,3}){2,}", "has nested or too many repeats"),
        ("(?:.|.){14}x", "has nested or too many repeats: begin it with ^"),
        ("(?:[0-9]?){14}x", "has nested or too many repeats"),
        (".*a.*b", "has nested or too many repeats"),
    ],
)
def test_unusable_pattern(demo: Database, pattern: str, reason: str) -> None:
    """A pattern that a worker cannot run, or not in bounded time, is refused with what is wrong with it."""
    assert reason in (demo.one("select tandem.pattern_fault(%s)", pattern) or "")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "^00",
        r"^\+?44(\d+)$",
        "^(?:00|011)([1-9])",
        r"@a\.example$",
        "^[0-9*]{3,15}$",
        r"\(\)+",
        "^([12])?x*",
        "(4|9)+",
        r"^(\d{1,3}){2}",
        r"^(?:00|\+)([1-9][0-9]{6,14})$",
        r"^sip:.*@.*\.example\.com$",
        "@.*x",
    ],
)
def test_usable_pattern(demo: Database, pattern: str) -> None:
    """What operators write every day is accepted."""
    assert demo.one("select tandem.pattern_fault(%s)", pattern) is None
