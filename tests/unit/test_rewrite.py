r"""Rewrite rules and the canonical number: first match only, \1 groups, nothing raises."""

from __future__ import annotations

import time

import pytest

from kemi.core.pattern import WAYS_MAX, compile_pattern
from kemi.core.rewrite import DIGITS_MAX, RULES_MAX, rewrite, to_e164
from kemi.records import RewriteRule


def _rules(*pairs: tuple[str, str]) -> tuple[RewriteRule, ...]:
    """Return rules with the ids 11, 12, …."""
    return tuple(RewriteRule(11 + at, at, *pair) for at, pair in enumerate(pairs))


@pytest.mark.parametrize(
    ("rules", "digits", "expected"),
    [
        ((("^00", "+"),), "004420", "+4420"),
        ((("^00", "+"), ("^0", "+49")), "0301234", "+49301234"),
        ((("^0", "+49"), ("^00", "+")), "004420", "+4904420"),
        (((r"^(00|\+)([1-9][0-9]+)$", r"\2"),), "+4420", "4420"),
        (((r"^(9)?([0-9]+)$", r"\2#\1"),), "4420", "4420#"),
        ((("44", ""),), "00444420", "004420"),
        ((("", "9"),), "4420", "94420"),
        ((("$", "9"),), "4420", "44209"),
        (((r"^(\d)(\d)(\d)(\d)(\d)(\d)(\d)(\d)(\d)$", r"\9\8\1"),), "123456789", "981"),
        ((("^(4)", r"\1&$1"),), "4420", "4&$1420"),
        ((("^5", "x"),), "4420", "4420"),
        ((), "4420", "4420"),
    ],
)
def test_the_first_matching_rule_is_applied(rules: tuple[tuple[str, str], ...], digits: str, expected: str) -> None:
    """What the pattern matched gives way to the replacement, the rest stays, later rules are not tried."""
    assert rewrite(_rules(*rules), digits)[0] == expected


def test_the_trace_names_the_rule() -> None:
    """An operator sees which rule made what of which number, and nothing when no rule had a say."""
    assert rewrite(_rules(("^5", ""), ("^00", "+")), "0044")[1] == "rule 12: 0044 → +44"
    assert rewrite(_rules(("^5", "")), "0044") == ("0044", "")
    assert rewrite((), "0044") == ("0044", "")


def test_each_rule_that_cannot_be_used_is_told() -> None:
    """In the order of the rules, after the one that could, if any."""
    broken = (("(", ""), ("^0", "\\"))
    first, second = "rule 11 passed over: pattern refused (", "; rule 12 passed over: replacement "
    sentence = rewrite(_rules(*broken), "0044")[1]
    assert sentence.startswith(first)
    assert second in sentence
    assert rewrite(_rules(*broken, ("^00", "+")), "0044")[1].startswith(f"rule 13: 0044 → +44; {first}")


def test_a_number_may_be_so_long() -> None:
    """As it comes, and as it goes; one character more is too much."""
    longest = "1" * DIGITS_MAX
    assert rewrite(_rules(("^1", "2")), longest)[0] == "2" + longest[1:]
    assert rewrite(_rules(("^1", "2")), longest + "1") == (
        longest + "1",
        "not rewritten: 65 characters, at most 64 are",
    )
    assert rewrite(_rules(("^1", "22")), longest[1:])[0] == "22" + longest[2:]
    assert rewrite(_rules(("^1", "22")), longest)[0] == longest
    assert to_e164("-" * (DIGITS_MAX - 3) + "442") == "442"
    assert to_e164("-" * (DIGITS_MAX - 2) + "442") is None


@pytest.mark.parametrize(
    ("pattern", "replacement", "why"),
    [
        ("(", "+", "pattern refused (missing )"),
        ("(0+)+", "+", "pattern refused (nested"),
        ("^0", r"\1", "names a group that the pattern lacks"),
        ("^(0)", r"\2", "names a group that the pattern lacks"),
        ("^(0)", r"\g<1>", "names a group that the pattern lacks"),
        ("^(0)", r"\1\q", "names a group that the pattern lacks"),
        ("^0", "\\", "names a group that the pattern lacks"),
        ("^0", "1" * (DIGITS_MAX + 1), "the result has 68 characters"),
    ],
)
def test_a_rule_that_cannot_be_used_is_passed_over_aloud(pattern: str, replacement: str, why: str) -> None:
    """The next rule has its turn, and the trace says what is wrong with the first."""
    broken = (pattern, replacement)
    result, trace = rewrite(_rules(broken, ("^00", "+")), "0044")
    assert result == "+44"
    assert trace.startswith("rule 12: 0044 → +44; rule 11 passed over: ")
    assert why in trace
    assert rewrite(_rules(broken), "0044")[0] == "0044"


@pytest.mark.parametrize("digits", ["1" * (DIGITS_MAX + 1), "44\r\nVia: x", "٤٤", "44\x00"])
def test_what_is_no_number_is_not_rewritten(digits: str) -> None:
    """A long or unprintable text stays as it is, and does not reach the trace."""
    result, trace = rewrite(_rules(("^", "+")), digits)
    assert result == digits
    assert trace.startswith("not rewritten: ")
    assert digits not in trace


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+442079460000", "442079460000"),
        ("442079460000", "442079460000"),
        ("+44(20)7946-00.00", "442079460000"),
        ("112", "112"),
        ("123456789012345", "123456789012345"),
        ("1234567890123456", None),
        ("12", None),
        ("0049", None),
        ("++49", None),
        ("49+", None),
        ("", None),
        ("alice", None),
        ("49 30", None),
        ("4930\n", None),
        ("٤٤٤٤", None),
        ("-" * 70 + "4930", None),
    ],
)
def test_to_e164(text: str, number: str | None) -> None:
    """3 … 15 digits, the first 1-9, after one plus sign and the visual separators are gone."""
    assert to_e164(text) == number


_BRANCHES = "|".join(["(?:(9)){20}y"] * 10)
HEAVY = ("(?:.|.){9}", "^(?:.|.){16}", "(?:(9)){50}(?:9|9){9}", "(.?){8}", f"(?:{_BRANCHES})")


@pytest.mark.parametrize("pattern", HEAVY)
def test_no_list_keeps_a_worker_busy(pattern: str) -> None:
    """The caller chooses the number, and a set has as many rules as somebody writes: 5 s for 300 of these, once."""
    rules = _rules(*((f"{pattern}x{n}", "") for n in range(RULES_MAX)))
    rewrite(rules, "1")
    spent_s = min(_spent_s(rules) for _ in range(5))
    assert spent_s < 0.1


def _spent_s(rules: tuple[RewriteRule, ...]) -> float:
    began_s = time.process_time()
    assert rewrite(rules, "9" * DIGITS_MAX)[0] == "9" * DIGITS_MAX
    return time.process_time() - began_s


def test_what_is_too_much_for_a_list_is_passed_over_aloud() -> None:
    """Postgres refuses it when it is written; what a former release took is not run."""
    each = compile_pattern(".*x").ways
    heavy = _rules(*((f".*x{n}", "") for n in range(WAYS_MAX // each)), ("^00", "+"))
    assert rewrite(heavy, "0044") == (
        "0044",
        f"rule {heavy[-1].id} passed over: it and all after it: too many ways to try the list",
    )
    assert rewrite(heavy[:-2] + heavy[-1:], "0044")[0] == "+44"
    many = _rules(*((f"^5{n}", "") for n in range(RULES_MAX)), ("^00", "+"))
    assert "a list has at most 500 rules" in rewrite(many, "0044")[1]
    assert rewrite(many[1:], "0044")[0] == "+44"
