"""The trail of a decision."""

from __future__ import annotations

import msgpack

from kemi.core.draft import HEAD_MAX, SENTENCE_MAX, TAIL_MAX, Draft
from kemi.core.pattern import WAYS_MAX, compile_pattern
from tests.fakes.world import World, invite, register, request


def test_a_refusal_carries_what_is_known_so_far() -> None:
    """A CDR can be written of a call that got no further than its first line."""
    refusal = Draft(invite(), World().facts()).refuse("barred", "because", 5)
    assert refusal.call is not None
    assert (refusal.account_id, refusal.trace, refusal.call.trace) == (5, ("because",), ("because",))
    assert (refusal.call.caller, refusal.call.callee, refusal.call.config_pass) == ("alice", "33140000000", 7)


def test_a_registration_leaves_no_cdr() -> None:
    """A REGISTER is no call."""
    assert Draft(register(), World().facts()).refuse("foreign_registration").call is None


def test_a_long_trail_keeps_its_ends() -> None:
    """What the call began with and what it came to stay; the middle is counted."""
    draft = Draft(invite(), World().facts())
    for number in range(HEAD_MAX + TAIL_MAX + 1):
        draft.note(f"sentence {number}")
    assert len(draft.trace) == HEAD_MAX + TAIL_MAX + 1
    draft.note("verdict")
    assert draft.trace[0] == "sentence 0"
    assert draft.trace[HEAD_MAX] == "… 2 sentences left out …"
    assert draft.trace[-1] == "verdict"


def test_hostile_text_is_harmless_in_trail_and_cdr() -> None:
    """Control characters and broken encodings neither forge a line of a log nor stop a record from being packed."""
    nasty = "a\r\nb\x00\udcff"
    draft = Draft(request(call_id=nasty, from_tag=nasty, caller=f"{nasty}@x", callee=nasty), World().facts())
    draft.note(nasty)
    draft.note("")
    draft.note("x" * 1000)
    assert draft.trace == ("a??b??", "x" * SENTENCE_MAX)
    assert msgpack.packb(draft.pinned)


def test_what_is_too_much_of_a_list_is_not_tried() -> None:
    """Patterns have their turn until all ways together are spent; each list by itself; a search given up costs none."""
    draft = Draft(invite(), World().facts())
    heavy = ".*x"
    most = WAYS_MAX // compile_pattern(heavy).ways
    mark = draft.mark
    assert all(draft.pattern("rules of 1", heavy).search("x") for _ in range(most))
    assert draft.pattern("rules of 2", heavy).search("x")
    assert draft.mark == mark
    assert draft.pattern("rules of 1", heavy).search("x") is None
    assert draft.pattern("rules of 1", "^x").search("x") is None
    assert draft.trace == (
        "rules of 1: its patterns from here on are not tried, for there are too many ways to try them",
    )
    draft.forget_since(mark)
    assert draft.pattern("rules of 1", heavy).search("x")
