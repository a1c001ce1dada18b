"""What a line may dial besides numbers: extensions of its account, and names of people and lines.

Rule 1: they are looked at as dialled, before any rewriting, and only where the R-URI's host is no domain of another
account. Who calls from elsewhere reaches numbers alone.
Rule 2: an extension comes before a line's name; what is neither is a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from kemi import keys
from kemi.core.called import Called, Led, closed_to_calls, named
from kemi.core.chains import Chain
from kemi.core.draft import Draft
from kemi.core.identity import FromSubscriber
from kemi.core.outcome import Reject
from kemi.core.request import E164, CallRequest
from kemi.core.rewrite import to_e164
from kemi.records import Status

DIGITS_MAX: Final = 8  # of an extension
_SHORT: Final = re.compile(r"(?:[0-9*]|%23){1,8}", re.ASCII)  # how an R-URI spells "#"
_WORD: Final = re.compile(r"[a-z][a-z0-9._-]{0,63}", re.ASCII)


class Renumbered(NamedTuple):
    """An extension stands for a number: the call goes as if that had been dialled."""

    number: E164


def dialled(call: CallRequest) -> str:
    """Return what an extension or a name would be called, "" where neither could have been dialled.

    Nearly all calls are to numbers, which are longer.
    """
    user = call.ruri.user
    if len(user) > DIGITS_MAX and user[0] in "+0123456789":
        return ""
    if _SHORT.fullmatch(user):
        return user.replace("%23", "#")
    word = user.lower()
    return word if _WORD.fullmatch(word) else ""


def names(draft: Draft, caller: FromSubscriber, short: str) -> Iterator[str]:
    """Yield what has to be known to look up what was dialled."""
    if draft.call.ruri.host != caller.domain.name:
        yield keys.sip_domain(draft.call.ruri.host)
    yield keys.extension(caller.subscriber.account_id, short)
    if short[0].isalpha():
        yield keys.subscriber(f"{short}@{caller.domain.name}")


def inside(draft: Draft, caller: FromSubscriber, chain: Chain, short: str) -> Called | Led | Renumbered | Reject | None:
    """Return what a line of ours reaches inside its account, None where it has to be a number."""
    if not _is_near(draft, caller):
        return None
    account_id = caller.subscriber.account_id
    extension = draft.known.extension(account_id, short)
    if extension is not None:
        what = "name" if short[0].isalpha() else "extension"  # people are called by their names
        draft.note(f"{what} {short} of account {account_id} reaches {named(extension.to)}")
        if extension.to.startswith(keys.number("")):
            number = to_e164(extension.to.removeprefix(keys.number("")))
            return Renumbered(number) if number else draft.refuse("not_found", f"extension {short}: no number")
        return Led(extension.to, extension.to_user, chain)
    return _line(draft, caller, chain, short) if short[0].isalpha() else None


def unknown(caller: FromSubscriber, short: str) -> str:
    """Return what is said of a name that nobody has, "" where none was dialled."""
    if not short or not short[0].isalpha():
        return ""
    return f"no extension, user or line of account {caller.subscriber.account_id} is called {short}"


def _line(draft: Draft, caller: FromSubscriber, chain: Chain, name: str) -> Called | Reject | None:
    """Return the line of the caller's account and domain that is called so."""
    line = draft.known.subscriber(f"{name}@{caller.domain.name}")
    if line is None or line.account_id != caller.subscriber.account_id or line.status == Status.CLOSED:
        return None
    called = Called(line, chain)
    draft.note(f"name {name} of account {line.account_id} reaches sub {called.address_of_record}")
    fault = closed_to_calls(line, chain)
    return draft.refuse("called_suspended", fault) if fault else called


def _is_near(draft: Draft, caller: FromSubscriber) -> bool:
    """Tell whether the R-URI names the caller's domain, another one of the same owner, or an address of ours."""
    host = draft.call.ruri.host
    if host == caller.domain.name:
        return True
    domain = draft.known.sip_domain(host)
    return domain is None or domain.account_id == caller.domain.account_id
