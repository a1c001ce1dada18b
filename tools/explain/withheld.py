"""Sentences of a call's trace that are the root's alone, each with the reason; see sentences.py."""

from __future__ import annotations

from typing import Final

WITHHELD: Final = (
    # Names what is missing, perhaps another's, or what only the platform may know.
    r"(?:user|ring group|callflow|media server) \S+ (?:is not there|cannot be asked|passed over: not there)",
    r"extension \S+(?: of account [0-9]+)?(?: is not there|: no number)",
    r"sub \S+(?: does not exist| passed over: it does not exist)",
    r"number [0-9]+: only [0-9]+ forwards of a call are followed",
    r"\S+ is not cached",
    r"(?:account|rewrite set|time set) [0-9]+ does not exist.*",
    r".*: its account hangs nowhere|account [0-9]+ (?:hangs nowhere in the tree|has more than [0-9]+ levels above it)",
    r".*: barring level [0-9]+ is not known",
    r"number [0-9]+ reaches an account that hangs nowhere",
    r"emergency number [0-9]+ has no server",
    r"group [0-9]+ passed over: not cached",
    r"node \S+ (?:was killed|fell silent).*",
    r"Redis had lost what this call had paid.*",
    r"routing profile: .* is unknown",
    r"domain \S* is not served here",
    # Tells a caller of the called, or of accounts above, that he cannot see.
    r"nobody is left whom the call may reach",
    r"left out: (?:[0-9]+ s of ringing are over by then|more than [0-9]+ accounts would have to pay)",
    r"[0-9]+ of [0-9]+ branches left out: a call has [0-9]+|left out: a call has [0-9]+ branches",
    r"the lines from here on are left out: a call looks at [0-9]+|[0-9]+ of [0-9]+ lines left out: [0-9]+ ring at once",
    r"number [0-9]+: the number is suspended",
    r"number [0-9]+ is not reached by .*",
    r"the called would have to pay too, and nothing can be held",
    r"the first increment costs a level more than any call may",
    # Addresses that are others'.
    r"source \S+ is in quarantine",
    r"peer source [0-9]+ by .*",
    r"(?:sub \S+|media server [0-9]+): \S+ is left out: it is (?:peer source .*|an address of this node)",
    r"[0-9]+ more sources passed over",
    r"sub \S+ may not register .*",
    r"contact .*",
    # How many carriers those above have, and how they route.
    r"[0-9]+ more candidates: only [0-9]+ are tried",
    r"every candidate failed lately: tried all the same",
    r"prefix .* is a stopper: no shorter one counts.*",
    r"prefix .* is blocked by rule [0-9]+ for the carriers of .*",
    r"rule [0-9]+ not eligible: account [0-9]+ has no group [0-9]+",
    r"group [0-9]+ \(.*\) not eligible: number is ported to group .*",
    r"server [0-9]+ \(.*\) skipped: (?:hidden by a stopper|no exchange rate between .*)",
    r"number is ported to a carrier that takes no such call: chosen by its routing number",
    r"number [0-9]+ is ported: routed as .*",
    r"ported number [0-9]+: routing number .* cannot be used",
    r"the order among equals is drawn for each call: .*",
    r"… [0-9]+ sentences left out …",
    r"[A-Z]+ starts no call",
    # Told with whom it concerns only.
    r"digest of .*: no such subscriber",
)
"""What nobody but the root reads, whatever it names: patterns, so that a test knows that somebody thought of it."""
