"""The table of refusals, and the tenants' own answers."""

from __future__ import annotations

import pytest

from kemi.core.refusals import REFUSALS, is_sendable, reject
from kemi.records import ReplyOverride

STABLE = """
malformed            400 111 0    relaying_denied      403  21 0    suspended            403  21 0
method               405  63 0    foreign_registration 403  21 0    barred               403  21 0
unsupported_scheme   416 127 0    inbound_rule         403  21 0    no_rate              403  21 0
loop                 482  25 0    cli                  403  21 0    forbidden            403  21 0
too_many_hops        483  25 0    not_found            404   1 0    no_credit            402  21 0
bad_number           484  28 0    no_route             404   3 0    spend                403  21 0
offline              480  20 0    called_suspended     480  20 0    channels             403  34 0
called_unavailable   480  20 0    called_busy          486  17 0    cps                  503  42 1
carriers_failed      503  41 0    cancelled            487  16 0    store_down           503  41 5
noc                  480  20 0
unarmed              503  41 5    full                 503  42 5    draining             503  41 5
stale                503  41 1    misconfigured        500  41 0    internal             500  41 0
merged               482  25 0    contact              403  21 0    locked               403  21 0
shed                 503  42 5
no_exchange          403  21 0    channels_in          403  34 0    channels_out         403  34 0
spend_day            403  21 0    spend_month          403  21 0    too_dear             403  21 0
quarantined          403  21 0
blocked_out          403  21 0    blocked_in           603  21 0    forward_loop         482  25 0
flow_reject          603  21 0    media_down           503  47 0
contacts             403  21 0    expires              423  31 0    path                 420 127 0
"""
"""Reason, status, Q.850 cause, Retry-After: what tenants' overrides, statistics and scenarios rely on."""


def test_the_table_is_stable() -> None:
    """A reason is never renamed, and none changes its answer by accident."""
    words = STABLE.split()
    rows = {words[at]: tuple(int(word) for word in words[at + 1 : at + 4]) for at in range(0, len(words), 4)}
    assert rows == {word: (told.status, told.q850, told.retry_after_s) for word, told in REFUSALS.items()}


@pytest.mark.parametrize("reason", sorted(REFUSALS))
def test_every_refusal_can_be_sent(reason: str) -> None:
    """A refusal is a final failure with a phrase and a Q.850 cause; Retry-After stands at a 503 only."""
    refusal = REFUSALS[reason]
    assert is_sendable(refusal.status, refusal.phrase)
    assert 1 <= refusal.q850 <= 127
    assert refusal.retry_after_s == 0 or refusal.status == 503


def test_an_unknown_reason_is_our_fault() -> None:
    """A word that is not in the table is told as an internal error and keeps its name for the CDR."""
    refusal = reject("surprise", ("seen",))
    assert (refusal.reason, refusal.status, refusal.trace) == ("surprise", 500, ("seen",))


def test_the_nearest_own_answer_wins() -> None:
    """Replies come nearest account first; one for another reason does not count."""
    replies = (
        ReplyOverride("barred", 480, "Other"),
        ReplyOverride("no_credit", 480, "Top Up"),
        ReplyOverride("no_credit", 402, "Far"),
    )
    refusal = reject("no_credit", replies=replies)
    assert (refusal.status, refusal.phrase) == (480, "Top Up")
    assert refusal.q850 == REFUSALS["no_credit"].q850


@pytest.mark.parametrize(
    ("status", "phrase"),
    [(200, "OK"), (399, "x"), (700, "x"), (0, "x"), (480, ""), (480, "a\r\nVia: b"), (480, "x" * 65), (480, "Zürich")],
)
def test_an_own_answer_that_no_client_could_take_is_ignored(status: int, phrase: str) -> None:
    """A success, an unknown class, or a phrase that would break the message leaves the usual answer."""
    refusal = reject("no_credit", replies=(ReplyOverride("no_credit", status, phrase),))
    assert (refusal.status, refusal.phrase) == (402, "Payment Required")
