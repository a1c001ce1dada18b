"""Laws of rewriting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kemi.core.pattern import TEXT_MAX, compile_pattern
from kemi.core.rewrite import DIGITS_MAX, rewrite, to_e164
from kemi.records import RewriteRule
from tests.property import strategies
from tests.property.strategies import LAW


@LAW
@given(rules=strategies.rewrite_rules, digits=strategies.numbers)
def test_rewriting_is_total_and_bounded(rules: tuple[RewriteRule, ...], digits: str) -> None:
    """Whatever an operator wrote and a caller dialled: no exception, a short result, a sentence on any change."""
    result, trace = rewrite(rules, digits)
    assert result == digits or (trace and len(result) <= DIGITS_MAX)


@LAW
@given(rules=strategies.rewrite_rules, more=strategies.rewrite_rules, digits=strategies.digits)
def test_rules_after_the_first_match_change_nothing(
    rules: tuple[RewriteRule, ...], more: tuple[RewriteRule, ...], digits: str
) -> None:
    """First match only."""
    result, trace = rewrite(rules, digits)
    if f"→ {result}" in trace:
        assert rewrite(rules + more, digits) == (result, trace)


@LAW
@given(text=strategies.numbers)
def test_a_canonical_number_is_its_own_canonical_form(text: str) -> None:
    """Normalising twice is normalising once."""
    number = to_e164(text)
    assert number is None or (to_e164(number) == number and to_e164(f"+{number}") == number)


@LAW
@given(source=strategies.regexes, text=st.text("0123a", max_size=TEXT_MAX))
def test_a_pattern_is_either_refused_or_agrees_with_re(source: str, text: str) -> None:
    """The check refuses patterns; it never changes the meaning of one that it accepts."""
    pattern = compile_pattern(source)
    assert (pattern.regex is None) == bool(pattern.fault)
    if pattern.regex is not None:
        assert pattern.regex.pattern == source
        pattern.search(text)
