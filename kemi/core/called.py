"""Whether a number is one of ours, and whom it reaches."""

from __future__ import annotations

from typing import NamedTuple

from kemi.core.chains import Chain, climb, first_inactive, first_locked, lock_word
from kemi.core.draft import Draft
from kemi.core.outcome import Reject
from kemi.core.request import E164
from kemi.records import Lock, Number, Status, Subscriber


class Called(NamedTuple):
    """The line that a number of ours reaches. chain: the accounts above that line, on which its channels count."""

    subscriber: Subscriber
    chain: Chain

    @property
    def address_of_record(self) -> str:
        """Where its phones are registered."""
        return f"{self.subscriber.username}@{self.subscriber.domain}"


def reached_by(draft: Draft, callee: E164) -> Called | Reject | None:
    """Return the line behind `callee`, None when the number is not ours; a refusal when nobody can be reached there.

    A suspended number, line or account above it, or one locked for all calls, is "called_suspended"; a closed or
    unassigned one is "not_found", so that a caller learns no more about a former customer than about a number that
    never was.
    """
    number = draft.known.number(callee)
    if number is None:
        return None
    subscriber = draft.known.subscriber(number.subscriber) if number.subscriber else None
    if subscriber is None or Status.CLOSED in (number.status, subscriber.status):
        return draft.refuse("not_found", f"number {callee} reaches nobody")
    chain = climb(draft, subscriber.account_id)
    if chain is None:
        return draft.refuse("misconfigured", f"number {callee} reaches an account that hangs nowhere")
    closed_to_calls = _closed_to_calls(number, subscriber, chain)
    if closed_to_calls:
        return draft.refuse("called_suspended", f"number {callee}: {closed_to_calls}")
    called = Called(subscriber, chain)
    draft.note(f"number {callee} reaches sub {called.address_of_record}")
    return called


def _closed_to_calls(number: Number, subscriber: Subscriber, chain: Chain) -> str:
    if number.status != Status.ACTIVE:
        return "the number is suspended"
    if subscriber.status != Status.ACTIVE:
        return f"sub {number.subscriber} is suspended"
    if subscriber.lock >= Lock.ALL:
        return f"sub {number.subscriber} is locked: {lock_word(subscriber.lock)}"
    inactive = first_inactive(chain)
    if inactive is not None:
        return f"level {inactive[0]} account {inactive[1].id} is suspended"
    locked = first_locked(chain, Lock.ALL)
    return f"level {locked[0]} account {locked[1].id} is locked: {lock_word(locked[1].lock)}" if locked else ""
