"""What is sent to whom a call is led, where that is no plain phone: trunks, media servers, phones behind forwards.

Rule 1: whoever is reached over a forward is told who led the call on, as far as that is not hidden.
Rule 2: a trunk is told the dialled number, in E.164 with "+" unless a rule of its rewrite set writes it otherwise.
Rule 3: no call goes for nothing to a peer, who would take it for ours: addresses of trunks and media servers are looked
up among the same sources as those of callers. Only the root's own media servers are trusted. None goes to this node.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from kemi.core.called import Called
from kemi.core.caller_id import DIVERSIONS_MAX, CallerId
from kemi.core.chains import climb
from kemi.core.contacts import peer_at
from kemi.core.draft import Draft
from kemi.core.numbers import rules_of_line
from kemi.core.order import draw_place
from kemi.core.outcome import Target
from kemi.core.pieces import Path, Piece, Placed, Played
from kemi.core.request import SipUri
from kemi.core.rewrite import rewrite
from kemi.core.sources import networks
from kemi.core.targets import escaped, to_address, to_phone
from kemi.core.uri import DEFAULT_PORTS
from kemi.records import Masks, PinnedTarget, Subscriber

PLACES_MAX: Final = 8  # of a trunk, that one call tries
ASKED_MAX: Final = 32  # addresses whose sources are asked for at once: no call has more branches
_REWRITTEN: Final = " → "


def source_names(draft: Draft, pieces: Iterable[Piece]) -> tuple[str, ...]:
    """Return the short names of all sources that may describe where trunks and media servers are, () without any."""
    addresses = tuple(islice(dict.fromkeys(each for piece in pieces for each in _addresses(piece)), ASKED_MAX))
    masks = (draft.known.masks() or Masks((), ())) if addresses else Masks((), ())
    return tuple(dict.fromkeys(name for address in addresses for name in networks(masks, address)))


def told(shown: CallerId, path: Path) -> CallerId:
    """Return the caller with those who led the call on, latest first."""
    if not path.diversions:
        return shown
    return shown._replace(diversions=(*path.diversions, *shown.diversions)[:DIVERSIONS_MAX])


def to_line(draft: Draft, called: Called, shown: CallerId, path: Path) -> Target:
    """Return the attempt at the phones of a line, or at the PBX that has registered as one."""
    line, target = called.subscriber, _at_phones(draft, called, shown, path)
    user = _dialled_user(draft, line, path.number) if line.kind == "trunk" else ""
    if not user:
        return target
    return target._replace(to_uri=_to_uri(line, user)) if line.did_in == "to" else target._replace(user=user)


def to_places(draft: Draft, called: Called, shown: CallerId, path: Path) -> tuple[Target, ...]:
    """Return the attempts at a trunk's places: the lowest priority first, within one as the draw by weight says."""
    line, like = called.subscriber, _at_phones(draft, called, shown, path)
    places = [place for place in line.places if place.address]
    if not places:
        draft.note(f"sub {called.address_of_record} has no place that can be asked")
        return ()
    dialled = _dialled_user(draft, line, path.number)
    is_in_to = bool(dialled) and line.did_in == "to"
    user = dialled if dialled and not is_in_to else escaped(line.username)
    like = like._replace(kind="server", address_of_record="", to_uri=_to_uri(line, dialled) if is_in_to else "")
    places.sort(key=lambda place: (place.priority, draw_place(draft, place), place.id))
    whose = f"sub {called.address_of_record}"
    reached = [
        _reached(place.address, place.port, place.transport)
        for place in places[:PLACES_MAX]
        if _is_free(draft, whose, place.address)
    ]
    reached = [each for each in reached if not _is_ours(draft, whose, each[0])]
    return tuple(like._replace(ruri=f"sip:{user}@{address}", next_hop=next_hop) for address, next_hop in reached)


def to_media(draft: Draft, played: Played, shown: CallerId, path: Path) -> tuple[Target, ...]:
    """Return the attempt at a user part of a media server, none where it may not be called.

    Who calls is shown in the domain that was called.
    """
    server, user = played.server, escaped(played.user)
    if not _is_platforms(draft, server.account_id) and not _is_free(draft, f"media server {server.id}", server.address):
        return ()
    address, next_hop = _reached(server.address, server.port, server.transport)
    if _is_ours(draft, f"media server {server.id}", address):
        return ()
    like = to_address(draft, f"{user}@{address}", draft.call.ruri.host, told(shown, path))
    pinned = PinnedTarget(0, 0, f"media:{server.id}", forwards=path.forwards)
    return (like._replace(kind="server", next_hop=next_hop, pinned=pinned, address_of_record=""),)


def _addresses(piece: Piece) -> tuple[str, ...]:
    match piece.what:
        case Placed(line):
            return tuple(place.address for place in line.subscriber.places)
        case Played(server):
            return (server.address,)
        case _:
            return ()


def _is_free(draft: Draft, whose: str, address: str) -> bool:
    """Tell whether an address is no peer's; say whose it is."""
    fault = peer_at(draft, address, draft.known.masks())
    draft.note(fault and f"{whose}: {address} is left out: {fault}")
    return not fault


def _is_ours(draft: Draft, whose: str, address: str) -> bool:
    """Tell whether an address, with its port, is where this node listens, and say so: the call would come back."""
    is_ours = address in draft.facts.listens
    draft.note(f"{whose}: {address} is left out: it is an address of this node" if is_ours else "")
    return is_ours


def _is_platforms(draft: Draft, account_id: int) -> bool:
    """Tell whether this is the root, above the accounts of whoever the call belongs to."""
    chain = climb(draft, draft.account_id)
    return chain is not None and chain.root.id == account_id


def _at_phones(draft: Draft, called: Called, shown: CallerId, path: Path) -> Target:
    target = to_phone(draft, called, told(shown, path))
    pinned = target.pinned._replace(forwards=path.forwards, joins=called.subscriber.counted)
    return target._replace(pinned=pinned)


def _dialled_user(draft: Draft, line: Subscriber, number: str) -> str:
    """Return the dialled number as a trunk reads it, escaped; "" where it was reached by none."""
    if not number:
        return ""
    user, sentence = rewrite(rules_of_line(draft, line).callee_out, number)
    draft.note(sentence)
    return escaped(user if _REWRITTEN in sentence else f"+{number}")


def _to_uri(line: Subscriber, user: str) -> str:
    return f"sip:{user}@{line.domain}"


def _reached(address: str, port: int, transport: str) -> tuple[str, str]:
    """Return host and port of a URI, and the next hop."""
    transport = transport or "udp"
    hop = str(SipUri("sip", "", address, port or DEFAULT_PORTS["sips" if transport == "tls" else "sip"]))
    return hop.removeprefix("sip:"), f"{hop};transport={transport}"
