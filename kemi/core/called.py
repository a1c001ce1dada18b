"""Whether a number is one of ours, and whom it reaches."""

from __future__ import annotations

from typing import NamedTuple

from kemi.core.chains import Chain, climb, first_inactive
from kemi.core.draft import Draft
from kemi.core.outcome import Reject
from kemi.core.request import E164
from kemi.records import Number, Status, Subscriber


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

    A suspended number, line or account above it is "called_suspended"; a closed or unassigned one is "not_found", so
    that a caller learns no more about a former customer than about a number that never was.
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
    inactive = _inactive(number, subscriber, chain)
    if inactive:
        return draft.refuse("called_suspended", f"number {callee}: {inactive} is suspended")
    called = Called(subscriber, chain)
    draft.note(f"number {callee} reaches sub {called.address_of_record}")
    return called


def _inactive(number: Number, subscriber: Subscriber, chain: Chain) -> str:
    if number.status != Status.ACTIVE:
        return "the number"
    if subscriber.status != Status.ACTIVE:
        return f"sub {number.subscriber}"
    found = first_inactive(chain)
    return f"level {found[0]} account {found[1].id}" if found else ""
