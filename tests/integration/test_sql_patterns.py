"""What may be stored, a worker can run: `tandem.pattern_fault` against kemi/core/pattern.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kemi.core.pattern import compile_pattern
from tests.fix_postgres import Database

BATCH = 40  # patterns of one query
_WORDS = (
    "0 1 2 3 4 5 6 7 8 9 a b c x y z - & ~ | ^ $ . * + ? ( ) [ ] { } , : = ! \\ < > # P @ / _ é \" ' %"
    " (?: [^ [] [[ [^] {2} {2,} {,2} {1,3} {3,1} {0} {200} {256} {} *? +? ?? *+ (?i) (?= (?P<a> (?# [0-9] [a- [z-a]"
    r" \d \w \s \D \W \S \. \+ \\ \] \[ \- \b \1 \n \Z \x41 \_ [^0] [\d-z] [\d-] -- && || [:digit:] [.a.]"
)
_PIECES = (*_WORDS.split(" "), " ", "\t", "\n")
SALADS = st.lists(st.sampled_from(_PIECES), max_size=14).map("".join)
"""Pieces of patterns in any order: mostly nonsense, with everything that the two engines read differently."""

_REPEATS = st.sampled_from(["", "", "", "*", "+", "?", "*?", "{3}", "{1,4}", "{2,}", "{0,1}?"])
_CHARACTERS = st.sampled_from(
    [*"0149a", ".", r"\d", r"\+", r"\D", "[0-9]", "[^1]", "[abc]", r"[\d*#]", "[1-39-]", "[^]x]"]
)
_ATOMS = st.recursive(
    _CHARACTERS,
    lambda inner: st.tuples(
        st.sampled_from(["(", "(?:"]), st.lists(st.tuples(inner, _REPEATS).map("".join), max_size=3).map("".join)
    ).map(lambda parts: f"{parts[0]}{parts[1]})"),
    max_leaves=6,
)
_SEQUENCES = st.lists(st.tuples(_ATOMS, _REPEATS).map("".join), max_size=5).map("".join)
_BRANCHED = st.recursive(
    _SEQUENCES,
    lambda inner: st.tuples(st.lists(inner, min_size=1, max_size=3).map("|".join), _REPEATS).map(
        lambda parts: f"({parts[0]}){parts[1]}"
    ),
    max_leaves=5,
)
_ANCHORS = st.sampled_from(["", "^"])
PLAIN = st.tuples(_ANCHORS, _SEQUENCES, st.sampled_from(["", "$"])).map("".join)
"""Patterns without alternatives: both sides count the same ways."""
BRANCHED = st.tuples(_ANCHORS, st.lists(_BRANCHED, max_size=3).map("".join), st.sampled_from(["", "$", "|1"])).map(
    "".join
)


def accepted(database: Database, patterns: list[str]) -> list[bool]:
    """Tell of each pattern whether it may be stored."""
    query = "select tandem.pattern_fault(p) is null from unnest(%s::text[]) with ordinality as u(p, n) order by n"
    return [fine for (fine,) in database.run(query, patterns)]


@pytest.mark.parametrize("kind", ["salad", "branched"])
def test_what_is_stored_can_be_run(demo: Database, kind: str) -> None:
    """A worker takes every pattern that Postgres takes, whatever it is made of."""

    @settings(deadline=None, max_examples=40)
    @given(st.lists(SALADS if kind == "salad" else BRANCHED, min_size=BATCH // 2, max_size=BATCH))
    def law(patterns: list[str]) -> None:
        for pattern, fine in zip(patterns, accepted(demo, patterns), strict=True):
            assert not fine or compile_pattern(pattern).regex is not None, (pattern, compile_pattern(pattern).fault)

    law()


def test_what_a_worker_runs_may_be_stored(demo: Database) -> None:
    """Without alternatives the two count alike: nothing is refused that a worker would run."""

    @settings(deadline=None, max_examples=40)
    @given(st.lists(PLAIN, min_size=BATCH // 2, max_size=BATCH))
    def law(patterns: list[str]) -> None:
        for pattern, fine in zip(patterns, accepted(demo, patterns), strict=True):
            assert fine == (compile_pattern(pattern).regex is not None), pattern

    law()


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("", 129),
        ("^44", 1),
        ("44", 129),
        ("^4*", 129),
        ("^(4|9)*$", 129),  # a set
        ("^(44|9)*$", 2_146_690),
        ("^(44|9){3}", 8),
        ("^(?:00|011)([1-9])", 2),
        (r"^(\d{1,3}){2}", 9),
        ("^4|9", 258),
        ("^4?9?", 4),
        ("4*9*", 129**3),
        ("4*9*5?", 2_146_690),
    ],
)
def test_how_many_ways(demo: Database, pattern: str, paths: int) -> None:
    """Counted as the worker does, from each place where a match may begin."""
    assert demo.one("select tandem.pattern_paths(%s)", pattern) == paths
