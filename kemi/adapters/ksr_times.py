"""How long an attempt of a hunt may take, and what it means that it took so long."""

from __future__ import annotations

from typing import Final

from kemi.adapters.ksr_plan import NS_PER_MS, Plan
from kemi.core.refusals import REFUSALS

FIRST_ANSWER_MS: Final = 2_500  # a server that says nothing at all is left for the next one after this
NO_ANSWER: Final = 408


def _first_answer_ms(plan: Plan) -> int:
    """Return how long to wait for any answer at all; well below the ringing time, so that the two can be told apart."""
    return min(FIRST_ANSWER_MS, plan.ring_s * 500, plan.target.limits.pdd_max_ms or FIRST_ANSWER_MS)


def times_ms(plan: Plan, now_ns: int) -> tuple[int, int]:
    """Return how long to ring and to wait for any answer at all: together no longer than the attempt may still take."""
    left_ms = plan.left_ms(now_ns)
    passed_ms = plan.longest_ms - left_ms
    pdd_max_ms = plan.target.limits.pdd_max_ms
    bound_ms = pdd_max_ms - passed_ms if pdd_max_ms else plan.ring_s * 1_000
    return max(1, min(bound_ms, left_ms)), max(1, min(_first_answer_ms(plan), left_ms))


def meaning(plan: Plan, status: int, now_ns: int, *, has_rung: bool) -> tuple[int, str]:
    """Return status and word of a failed attempt.

    408 after it rang: the phone was reached, and another carrier would reach the same: 480. Else the server took the
    call and then said nothing for too long, or it said nothing at all, which needs no word.
    """
    if status != NO_ANSWER:
        return status, ""
    if has_rung:
        return REFUSALS["offline"].status, "ring"
    first_ms = _first_answer_ms(plan)
    bound_ms = plan.target.limits.pdd_max_ms or plan.ring_s * 1_000
    is_silent = (now_ns - plan.asked_ns) // NS_PER_MS < (first_ms + bound_ms) // 2 and first_ms < bound_ms
    return NO_ANSWER, "" if is_silent else "pdd"
