"""What the called side learns of the caller after the INVITE: no more than the INVITE told it (RFC 3323 §5.1).

Rule 1: the To of the caller's replies is the From that the called side was shown. The stack turns that of its requests
into the caller's own address, and would leave it so in the replies.
Rule 2: what a hidden caller sends in the call shows neither his Contact nor his phone, requests and replies alike.
"""

from __future__ import annotations

import json
from typing import Final

from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_read import text
from kemi.adapters.ksr_strip import strip
from kemi.core.sides import Side
from kemi.core.targets import REMOVED_OF_HIDDEN

REPLY: Final = "ksr_within_reply"
_MASK: Final = "mask"  # AVP of the transaction: the To to show, and the Contact to show, null = as it came


def of_caller(ksr: Ksr, contact: str | None) -> None:
    """Let a request of the caller tell no more of him than may be told. contact: as ksr_sides.hidden has it."""
    if contact is not None:
        _hide(ksr, contact)


def of_callee(ksr: Ksr, caller: Side, callee: Side, contact: str | None) -> None:
    """Let the caller's replies to this request of the called side tell no more of him than may be told."""
    is_shown = callee.shown in ("", caller.uri)
    if is_shown and contact is None:
        return
    to = "" if is_shown else f"<{callee.shown}>;tag={caller.tag}"
    ksr.pvx.avp_sets(_MASK, json.dumps([to, contact]))
    ksr.tm.t_on_reply(REPLY)


def reply(ksr: Ksr) -> None:
    """Change a reply of the caller, within its transaction, to what may be told."""
    kept = str(ksr.pvx.avp_gete(_MASK))
    if not kept:
        return
    to, contact = json.loads(kept)
    if to:
        ksr.hdr.remove("To")
        ksr.hdr.append(f"To: {to}\r\n")
    if contact is not None:
        _hide(ksr, contact)


def _hide(ksr: Ksr, contact: str) -> None:
    strip(ksr, REMOVED_OF_HIDDEN)
    if text(lambda: ksr.pv.gete("$ct")):
        ksr.hdr.remove("Contact")
        if contact:
            ksr.hdr.append(f"Contact: {contact}\r\n")
