"""From a destination to what rings: lines, users, groups, callflows, forwards, numbers, media servers.

Rule 1: a destination is followed to its end before anything is priced. What comes out are pieces, each of which may
become a stage, and edges between them that lead to later pieces only.
Rule 2: forwards count where a line or a user is called by itself. A group and a callflow ring whom they name and nobody
else; who takes no calls is passed over, and so is the line that calls: nobody rings himself.
Rule 3: a destination that led here already, or one more forward than a call may have, ends that branch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from kemi import keys
from kemi.core.barring import barred_in
from kemi.core.called import Called, Led, closed_to_calls, named, reached_by
from kemi.core.caller_id import DIVERSIONS_MAX, CallerId, Diverted
from kemi.core.chains import Chain, climb
from kemi.core.draft import Draft, how_many
from kemi.core.emergency import is_one_somewhere
from kemi.core.forwards import FORWARDS_MAX, REASONS, Chosen, Forwarder, chosen, diverted_before
from kemi.core.outcome import OUT, HoldFund, Reject
from kemi.core.pieces import (
    BUSY,
    NO_ANSWER,
    UNREACHABLE,
    Away,
    Block,
    Leap,
    Path,
    Piece,
    Placed,
    Played,
    Refused,
    Rung,
    Walked,
)
from kemi.core.rewrite import to_e164
from kemi.records import Forward, Status, Subscriber, User

DIGITS_MAX: Final = 19  # of an id
TRUNKS: Final = frozenset(("trunk", "ip_trunk"))  # behind one there are many phones
LOOKED_AT_MAX: Final = 64  # destinations that one call follows, whatever leads to whatever
LINES_MAX: Final = 256  # lines and users that one call looks at as ringing with others
TOGETHER_MAX: Final = 30  # lines that ring at once: branches of a transaction
LEAPS_MAX: Final = 8  # forwards to numbers that one call may have to pay for
TAKES_NO_CALLS: Final = "it takes no calls"
CALLS: Final = "it is who calls"
HAS_CALLS: Final = "it has as many calls as it may"
_AS_BUSY: Final = frozenset((TAKES_NO_CALLS, HAS_CALLS))

KEPT: Final = frozenset(("forward_loop", "called_busy"))
"""Reasons that a caller is told of whom the called leads him to; all else there is the called's affair."""


class Walk:
    """One walk. What it finds: pieces, edges, leaps, blocks.

    edges: of each piece by BUSY, NO_ANSWER and UNREACHABLE, -1 = none. lines_left: lines and users that may still be
    looked at as ringing with others.
    """

    def __init__(self, draft: Draft, shown: CallerId, others: Mapping[str, Follower]) -> None:
        """others: what follows the kinds of destinations that are not followed here."""
        self.draft = draft
        self.shown = shown
        self._known = draft.known
        self._before = diverted_before(draft.call)
        self._looked_at = 0
        self.lines_left = LINES_MAX
        self._chains: dict[int, Chain | None] = {}
        self.pieces: list[Piece] = []
        self.edges: list[list[int]] = []
        self.leaps: list[Leap] = []
        self.blocks: list[Block] = []
        self._followers: dict[str, Callable[[str, str, Forwarder, Path], Walked]] = {
            "sub": self._subscriber,
            "user": self._user,
            "ext": self._extension,
            "num": self._number,
            "media": self._media,
        }
        for kind, follow in others.items():
            self._followers[kind] = partial(follow, self)

    # What leads on ---------------------------------------------------------------------------------------------------

    def to(self, to: str, to_user: str, by: Forwarder, path: Path) -> Walked:
        """Follow a destination. by: who names it, and pays for a number."""
        self._looked_at += 1
        if to in path.visited or self._looked_at > LOOKED_AT_MAX:
            return self.dead("forward_loop", f"{by.name} leads back to {named(to)}: a loop")
        path = path._replace(visited=path.visited | {to})
        kind, _, rest = to.partition(":")
        follow = self._followers.get(kind)
        if follow is None:
            return self.dead("called_unavailable", f"{by.name} leads nowhere")
        return follow(rest, to_user, by, path)

    def lead(self, how: str, to: tuple[str, str], by: Forwarder, path: Path, reason: str) -> Walked:
        """Follow what is led to, as one more forward. how: "forward 5 of sub … on busy". reason: as Diversion says."""
        self.draft.note(f"{how} leads to {named(to[0])}")
        if path.depth + self._before >= FORWARDS_MAX:
            return self.dead("forward_loop", f"{how}: the call has been led on {FORWARDS_MAX} times already")
        diversions = path.diversions
        if by.number:
            is_hidden = by.subscriber is not None and by.subscriber.is_hidden
            diversions = (Diverted(by.number, reason, 1, is_hidden), *diversions)[:DIVERSIONS_MAX]
        walked = self.to(*to, by, path._replace(depth=path.depth + 1, diversions=diversions, leads=_leads(by, path)))
        if walked.entry >= 0 or walked.reason in KEPT:
            return walked
        return walked._replace(reason="called_unavailable")

    def _subscriber(self, name: str, _to_user: str, _by: Forwarder, path: Path) -> Walked:
        found = self._known.subscriber(name)
        if found is None or found.status == Status.CLOSED:
            return self.dead("called_unavailable", f"sub {name} does not exist")
        chain = self._chain(found.account_id)
        if chain is None:
            return self.dead("called_unavailable", f"sub {name}: its account hangs nowhere")
        fault = closed_to_calls(found, chain)
        return self.dead("called_suspended", fault) if fault else self.line(Called(found, chain), path)

    def line(self, called: Called, path: Path) -> Walked:
        """Follow a line that is called by itself, and takes calls at all."""
        line = called.subscriber
        barred = barred_in(self.draft, called, self.shown)
        if barred is not None:
            return Walked(reason=barred.reason, account_id=barred.account_id)
        name = f"sub {called.address_of_record}"
        by = Forwarder(name, called.chain, line, line.cli or path.number, line.domain, line.counted)
        forwards = chosen(self.draft, line.forwards, self.shown, line.ring_s)
        if line.dnd:
            return self._busy(f"{name} takes no calls", forwards, by, path, "do-not-disturb")
        if forwards.always is not None:
            return self._forwarded(forwards.always, by, path)
        if self._is_full(line):
            return self._busy(f"{name} has as many calls as it may", forwards, by, path)
        return self._else(self.ring((called,), path, forwards.ring_s).entry, forwards, by, path)

    def _user(self, user_id: str, _to_user: str, _by: Forwarder, path: Path) -> Walked:
        user = self._known.user(whole(user_id))
        if user is None or user.status == Status.CLOSED:
            return self.dead("called_unavailable", f"user {user_id} is not there")
        name = f"user {user.id} of account {user.account_id}"
        if user.status != Status.ACTIVE:
            return self.dead("called_unavailable", f"{name} is suspended")
        by = self.entered(name, user.account_id, path, (keys.user_fund(user.id),) if user.calls_max else ())
        if isinstance(by, Walked):
            return by
        forwards = chosen(self.draft, user.forwards, self.shown, user.ring_s)
        if user.dnd:
            return self._busy(f"{name} takes no calls", forwards, by, path, "do-not-disturb")
        if forwards.always is not None:
            return self._forwarded(forwards.always, by, path)
        return self._person(user, forwards, by, path)

    def _person(self, user: User, forwards: Chosen, by: Forwarder, path: Path) -> Walked:
        """Let the lines of a user ring, and what comes after them."""
        if keys.user_fund(user.id) in self.draft.facts.busy:
            return self._busy(f"{by.name} has as many calls as it may", forwards, by, path)
        lines, is_busy = self.ringable(user.lines)
        if not lines and is_busy:
            return self._busy(f"{by.name}: no line takes calls", forwards, by, path)
        if not lines:
            return self._nobody(f"{by.name} has no line that rings", forwards.unreachable, by, path, "unavailable")
        self.draft.note(f"{by.name} rings {how_many(len(lines), 'line')}")
        return self._else(self.ring(lines, path, forwards.ring_s).entry, forwards, by, path)

    def _extension(self, rest: str, _to_user: str, by: Forwarder, path: Path) -> Walked:
        account_id, _, dialled = rest.partition(":")
        found = self._known.extension(whole(account_id), dialled)
        if found is None:
            return self.dead("called_unavailable", f"extension {dialled} of account {account_id} is not there")
        return self.to(found.to, found.to_user, by, path)

    def _media(self, server_id: str, to_user: str, _by: Forwarder, path: Path) -> Walked:
        server = self._known.media_server(whole(server_id))
        if server is None or not server.address or not to_user:
            return self.dead("called_unavailable", f"media server {server_id} cannot be asked")
        return self._leaf(self._add(Played(server, to_user), path))

    def _number(self, digits: str, _to_user: str, by: Forwarder, path: Path) -> Walked:
        """Lead to a number: of ours, to what stands behind it; else away. Its n is what the forwarder pays by."""
        number = to_e164(digits)
        if number is None or is_one_somewhere(self.draft.facts.emergency, digits):
            return self.dead("called_unavailable", f"{by.name} leads to no number that may be called so")
        if len(self.leaps) >= LEAPS_MAX:
            return self.dead("called_unavailable", f"number {number}: only {LEAPS_MAX} forwards of a call are followed")
        n = len(self.leaps) + 1
        path = path._replace(forwards=(*path.forwards, n), number=number)
        found = reached_by(self.draft, number)
        if isinstance(found, Reject):
            return Walked(reason=found.reason, account_id=found.account_id)
        self.leaps.append(Leap(n, by, number, found.chain if found else None, path.leads))
        if found is None:
            return self._leaf(self._add(Away(n), path))
        return self.behind(found, number, path)

    def behind(self, found: Called | Led, number: str, path: Path) -> Walked:
        """Follow what stands behind a number of ours."""
        if isinstance(found, Called):
            name = keys.subscriber(found.address_of_record)
            if name in path.visited:
                return self.dead("forward_loop", f"{named(name)} led here already: a loop")
            return self.line(found, path._replace(visited=path.visited | {name}))
        barred = barred_in(self.draft, found, self.shown)
        if barred is not None:
            return Walked(reason=barred.reason, account_id=barred.account_id)
        name = f"number {number} of account {found.chain.levels[0].id}"
        by = Forwarder(name, found.chain, None, number, self.draft.call.ruri.host)
        if found.to.startswith(keys.number("")):
            return self.lead(name, (found.to, found.to_user), by, path, REASONS["always"])
        return self.to(found.to, found.to_user, by, path)

    # Who rings -------------------------------------------------------------------------------------------------------

    def ringable(self, names: tuple[str, ...]) -> tuple[tuple[Called, ...], bool]:
        """Return those of the lines that ring with others, and whether one is passed over as busy."""
        found: list[Called] = []
        is_busy = False
        for name in dict.fromkeys(names):
            if not self.looks():
                break
            line = self._known.subscriber(name)
            chain = self._chain(line.account_id) if line is not None and line.status != Status.CLOSED else None
            if line is None or chain is None:
                self.draft.note(f"sub {name} passed over: it does not exist")
                continue
            fault = self._passed_over(Called(line, chain))
            if fault:
                self.draft.note(f"sub {name} passed over: {fault}")
                is_busy = is_busy or fault in _AS_BUSY
            else:
                found.append(Called(line, chain))
        return tuple(found), is_busy

    def user_lines(self, user_id: str) -> tuple[tuple[Called, ...], bool]:
        """Return the lines of a user that ring, where he is one of several, and whether he or one of them is busy."""
        if not self.looks():
            return (), False
        user = self._known.user(whole(user_id))
        if user is None or self._open_chain(user) is None:
            self.draft.note(f"user {user_id} passed over: not there")
            return (), False
        is_full = keys.user_fund(user.id) in self.draft.facts.busy
        if user.dnd or is_full:
            fault = TAKES_NO_CALLS if user.dnd else HAS_CALLS
            self.draft.note(f"user {user.id} of account {user.account_id} passed over: {fault}")
            return (), True
        return self.ringable(user.lines)

    def looks(self) -> bool:
        """Tell whether one more line or user may be looked at, and count it; say so at the first that may not."""
        self.lines_left -= 1
        if self.lines_left == -1:
            self.draft.note(f"the lines from here on are left out: a call looks at {LINES_MAX}")
        return self.lines_left >= 0

    def entered(self, name: str, account_id: int, path: Path, counted: tuple[str, ...] = ()) -> Forwarder | Walked:
        """Return who is called by itself and may lead the call on, or why no call of this caller may come there.

        counted: as in Forwarder.
        """
        chain = self._chain(account_id)
        fault = closed_to_calls(None, chain) if chain else "its account hangs nowhere"
        if chain is None or fault:
            return self.dead("called_suspended", f"{name}: {fault}")
        barred = barred_in(self.draft, Led("", "", chain), self.shown)
        if barred is not None:
            return Walked(reason=barred.reason, account_id=barred.account_id)
        return Forwarder(name, chain, None, path.number, self.draft.call.ruri.host, counted)

    def _passed_over(self, called: Called) -> str:
        fault = closed_to_calls(called.subscriber, called.chain)
        if fault:
            return fault
        if called.subscriber.dnd:
            return TAKES_NO_CALLS
        if called.address_of_record == self.draft.source and called.subscriber.kind not in TRUNKS:
            return CALLS
        if self._is_full(called.subscriber):
            return HAS_CALLS
        return "it does not want the caller" if barred_in(self.draft, called, self.shown) is not None else ""

    def _is_full(self, line: Subscriber) -> bool:
        busy = self.draft.facts.busy
        return bool(busy) and not busy.isdisjoint(line.counted)

    def _open_chain(self, user: User) -> Chain | None:
        """Return the accounts above a user that takes calls at all, None for one that does not, with a sentence."""
        chain = self._chain(user.account_id)
        if chain is None or user.status != Status.ACTIVE:
            return None
        fault = closed_to_calls(None, chain)
        self.draft.note(fault and f"user {user.id} of account {user.account_id}: {fault}")
        return None if fault else chain

    def _chain(self, account_id: int) -> Chain | None:
        if account_id not in self._chains:
            self._chains[account_id] = climb(self.draft, account_id)
        return self._chains[account_id]

    # Pieces ----------------------------------------------------------------------------------------------------------

    def _forwarded(self, forward: Forward, by: Forwarder, path: Path, reason: str = "") -> Walked:
        how = f"forward {forward.id} of {by.name} ({forward.kind})"
        return self.lead(how, (forward.to, forward.to_user), by, path, reason or REASONS.get(forward.kind, "unknown"))

    def _busy(self, sentence: str, forwards: Chosen, by: Forwarder, path: Path, reason: str = "") -> Walked:
        walked = self._nobody(sentence, forwards.busy, by, path, reason)
        return walked._replace(reason="called_busy") if forwards.busy is None else walked

    def _nobody(self, sentence: str, forward: Forward | None, by: Forwarder, path: Path, reason: str) -> Walked:
        self.draft.note(sentence)
        return self._forwarded(forward, by, path, reason) if forward else Walked(reason="offline")

    def _else(self, piece: int, forwards: Chosen, by: Forwarder, path: Path) -> Walked:
        """Let forwards take the call over from a piece, each by how it ends."""
        ends: list[tuple[int, int]] = []
        after = ((BUSY, forwards.busy), (NO_ANSWER, forwards.no_answer), (UNREACHABLE, forwards.unreachable))
        for outcome, forward in after:
            walked = self._forwarded(forward, by, path) if forward else Walked()
            if walked.entry < 0:
                ends.append((piece, outcome))
            else:
                self.edges[piece][outcome] = walked.entry
                ends.extend(walked.ends)
        return Walked(piece, tuple(ends))

    def ring(self, lines: tuple[Called, ...], path: Path, ring_s: int) -> Walked:
        """Let lines ring at once; at least one. A trunk at fixed addresses is hunted through, so it rings alone."""
        phones = tuple(line for line in lines if line.subscriber.kind != "ip_trunk")
        for line in lines if phones else lines[1:]:
            if line.subscriber.kind == "ip_trunk":
                self.draft.note(f"sub {line.address_of_record} passed over: it cannot ring with others")
        if len(phones) > TOGETHER_MAX:
            self.draft.note(
                f"{len(phones) - TOGETHER_MAX} of {len(phones)} lines left out: {TOGETHER_MAX} ring at once"
            )
        return self.add(Rung(phones[:TOGETHER_MAX]) if phones else Placed(lines[0]), path, ring_s)

    def add(self, what: Rung | Placed | Away | Played | Refused, path: Path, ring_s: int = 0) -> Walked:
        """Add a piece that leads nowhere yet."""
        return self._leaf(self._add(what, path, ring_s))

    def then(self, before: Walked, after: Walked) -> Walked:
        """Let `after` follow wherever `before` leads nowhere yet; return the one of them that is there alone."""
        if before.entry < 0 or after.entry < 0:
            return after if before.entry < 0 else before
        for piece, outcome in before.ends:
            self.edges[piece][outcome] = after.entry
        return Walked(before.entry, after.ends)

    def _leaf(self, piece: int) -> Walked:
        return Walked(piece, ((piece, BUSY), (piece, NO_ANSWER), (piece, UNREACHABLE)))

    def _add(self, what: Rung | Placed | Away | Played | Refused, path: Path, ring_s: int = 0) -> int:
        self.pieces.append(Piece(what, path, ring_s))
        self.edges.append([-1, -1, -1])
        return len(self.pieces) - 1

    def dead(self, reason: str, sentence: str) -> Walked:
        """End a branch, with the sentence that says why."""
        self.draft.note(sentence)
        return Walked(reason=reason)


Follower = Callable[[Walk, str, str, Forwarder, Path], Walked]
"""Follows the destinations of one kind, given what stands behind the kind, and the user part of a media server."""


def _leads(by: Forwarder, path: Path) -> tuple[HoldFund, ...]:
    """Return what counts the calls of those who led the call on so far, and of who does now; each once."""
    known = {fund.fund for fund in path.leads}
    account_id = by.chain.levels[0].id
    return (*path.leads, *(HoldFund(fund, account_id, 0, OUT) for fund in by.counted if fund not in known))


def whole(text: str) -> int:
    """Return the number in a destination, 0 where it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX else 0
