"""Whether a number is one of ours, and whom it reaches: a line, or whatever else stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from kemi.core.chains import Chain, climb, first_locked, lock_word
from kemi.core.draft import Draft
from kemi.core.outcome import Reject
from kemi.records import Lock, Number, Status, Subscriber

_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"grp": "ring group", "flow": "callflow", "num": "number", "ext": "extension", "media": "media server"}
)


class Called(NamedTuple):
    """The line that a number of ours reaches. chain: the accounts above that line, on which its channels count."""

    subscriber: Subscriber
    chain: Chain

    @property
    def address_of_record(self) -> str:
        """Where its phones are registered."""
        return f"{self.subscriber.username}@{self.subscriber.domain}"


class Led(NamedTuple):
    """A number of ours that reaches no line itself, but a destination. chain: the accounts above the number.

    to, to_user: as in records/people.py. subscriber: none; so that block lists are asked alike.
    """

    to: str
    to_user: str
    chain: Chain
    subscriber: None = None


def reached_by(draft: Draft, callee: str) -> Called | Led | Reject | None:
    """Return what stands behind `callee`, None when the number is not ours; a refusal when nobody can be reached there.

    A suspended number, line or account above it, or one locked for all calls, is "called_suspended"; a closed or
    unassigned one is "not_found", so that a caller learns no more about a former customer than about a number that
    never was.
    """
    number = draft.known.number(callee)
    if number is None:
        return None
    if number.to and not number.subscriber:
        return _led(draft, callee, number)
    subscriber = draft.known.subscriber(number.subscriber) if number.subscriber else None
    if subscriber is None or Status.CLOSED in (number.status, subscriber.status):
        return draft.refuse("not_found", f"number {callee} reaches nobody")
    chain = _open(draft, callee, number, subscriber, subscriber.account_id)
    if isinstance(chain, Reject):
        return chain
    called = Called(subscriber, chain)
    draft.note(f"number {callee} reaches sub {called.address_of_record}")
    return called


def _led(draft: Draft, callee: str, number: Number) -> Led | Reject:
    """Return where a number leads. It counts as reached: what stands there is another question."""
    if number.status == Status.CLOSED:
        return draft.refuse("not_found", f"number {callee} reaches nobody")
    chain = _open(draft, callee, number, None, number.account_id)
    if isinstance(chain, Reject):
        return chain
    draft.note(f"number {callee} of account {number.account_id} reaches {named(number.to)}")
    return Led(number.to, number.to_user, chain)


def _open(draft: Draft, callee: str, number: Number, subscriber: Subscriber | None, account_id: int) -> Chain | Reject:
    """Return the accounts above whom a number reaches, or the refusal where no call may come there."""
    chain = climb(draft, account_id)
    if chain is None:
        return draft.refuse("misconfigured", f"number {callee} reaches an account that hangs nowhere")
    fault = "the number is suspended" if number.status != Status.ACTIVE else closed_to_calls(subscriber, chain)
    return draft.refuse("called_suspended", f"number {callee}: {fault}") if fault else chain


def named(to: str) -> str:
    """Return a destination as sentences name it: `sub bob@a.example`, `user 7`, `callflow 3`, `number 4420…`."""
    kind, _, rest = to.partition(":")
    return f"{_NAMES.get(kind, kind)} {rest}"


def closed_to_calls(subscriber: Subscriber | None, chain: Chain) -> str:
    """Return why a line, or who is not one, takes no calls at all, "" when it does."""
    if subscriber is not None:
        name = f"sub {subscriber.username}@{subscriber.domain}"
        if subscriber.status != Status.ACTIVE:
            return f"{name} is suspended"
        if subscriber.lock >= Lock.ALL:
            return f"{name} is locked: {lock_word(subscriber.lock)}"
    inactive = chain.inactive
    if inactive is not None:
        return f"level {inactive[0]} account {inactive[1].id} is suspended"
    locked = first_locked(chain, Lock.ALL)
    return f"level {locked[0]} account {locked[1].id} is locked: {lock_word(locked[1].lock)}" if locked else ""
