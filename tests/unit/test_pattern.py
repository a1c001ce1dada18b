"""Operators' patterns: what is accepted, what is refused and why, and that no accepted one can hang a worker."""

from __future__ import annotations

import pytest

from kemi.core.pattern import PATTERN_MAX, TEXT_MAX, compile_pattern


@pytest.mark.parametrize(
    ("source", "text", "matches"),
    [
        ("", "anything", True),
        ("^00", "0049", True),
        ("00", "4900", True),
        ("^00", "4900", False),
        (r"^(\+|00)?49(\d+)$", "004930", True),
        (r"^(?:\d{1,3}\.){3}\d{1,3}$", "203.0.113.7", True),
        (r"^sip:.*@.*\.example\.com$", "sip:alice@pbx.example.com", True),
        (r"sip:.+@a\.example", "sip:alice@a.example", True),
        ("(?i)SIP:", "sip:alice@a.example", True),
        ("sip:", "SIP:", False),
    ],
)
def test_usual_patterns_are_searched_as_written(source: str, text: str, matches: bool) -> None:
    """Accepted, case-sensitive unless (?i) is written, anchored only where written."""
    pattern = compile_pattern(source)
    assert pattern.fault == ""
    assert (pattern.search(text) is not None) is matches


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("(a+)+$", "quantifiers"),
        ("(a*)*", "quantifiers"),
        ("(a|ab)*c", "quantifiers"),
        ("(?:a{1,9}){1,9}$", "quantifiers"),
        ("(?:a?){40}b", "quantifiers"),
        ("^.*.*.*$", "quantifiers"),
        ("(?:.|.){14}x", "quantifiers"),
        (".*a.*b", "quantifiers"),
        (".*.*.*", "quantifiers"),
        ("(a)\\1", "groupref"),
        ("(?=a)", "assert"),
        ("(?<!a)b", "assert not"),
        ("a++b", "possessive"),
        ("(?>a)b", "atomic"),
        ("(a)?(?(1)b|c)", "groupref exists"),
        ("(?x) a", "flags"),
        ("(", "unterminated"),
        ("*", "nothing to repeat"),
        ("[[a]", "nested set"),
        ("a{99999999999}", "too large"),
        ("a" * (PATTERN_MAX + 1), "longer than"),
        ("(" * 500 + ")" * 500, "recursion"),
    ],
)
def test_a_pattern_that_could_hang_or_is_broken_is_refused_with_its_reason(source: str, why: str) -> None:
    """A refused pattern matches nothing, raises nothing, and names what is wrong with it."""
    pattern = compile_pattern(source)
    assert why in pattern.fault
    assert pattern.search("a") is None


def test_a_text_beyond_the_bound_is_not_searched() -> None:
    """The bound on the running time holds for texts of at most TEXT_MAX characters."""
    assert compile_pattern("a").search("a" * TEXT_MAX) is not None
    assert compile_pattern("a").search("a" * (TEXT_MAX + 1)) is None


def test_a_pattern_is_compiled_once() -> None:
    """The second use of a pattern costs a look-up."""
    assert compile_pattern("^0049") is compile_pattern("^0049")
