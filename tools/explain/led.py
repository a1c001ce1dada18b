"""What a trace says of calls that go not simply to a line: extensions, users, groups, callflows, forwards.

Templates of sentences, as tools/explain/sentences.py reads them. Each names the account, or the line, that it is of.
"""

from __future__ import annotations

from typing import Final

THING: Final = r"(?:(?:user|ring group|callflow|media server|number) [0-9]{1,19}|extension [0-9]{1,19}:[a-z0-9*#._-]+)"
"""Whatever else a call may be led to."""

LEADERS: Final = (
    "sub {line}",
    "user {n} of account {account}",
    "ring group {n} of account {account}",
    "callflow {n} of account {account}",
    "number {digits} of account {account}",
)
"""Who leads a call on, as sentences begin."""

LED: Final = ("sub {line9}", "{thing}")
"""Where to: what belongs to the same account is told with it, a line by itself."""

PASSED_OVER: Final = (
    "it takes no calls",
    "it has as many calls as it may",
    "it does not want the caller",
    "it is who calls",
    "it cannot ring with others",
    "sub {line2} is suspended",
    "sub {line2} is locked: {word}",
    "level {n2} account {account2} is suspended",
    "level {n2} account {account2} is locked: {word}",
)

LED_TOO_OFTEN: Final = ": the call has been led on {n9} times already"
SAID: Final = (
    " leads nowhere",
    " leads to no number that may be called so",
    " takes no calls",
    " has as many calls as it may",
    ": no line takes calls",
    " has no line that rings",
    " has no place that can be asked",
    *(f" rings {lines}{how}" for lines in ("1 line", "{n9} lines") for how in ("", " at once")),
    *(f" rings {members} in turn ({{kind}})" for members in ("1 member", "{n9} members")),
    ": nobody can be rung",
    ": sub {line9} left out: its {n9} s are over by then",
    ": user {n8} left out: its {n9} s are over by then",
    " ends without ringing anybody",
)
"""What is said of who leads a call on, or lets it ring."""

STEPS: Final = (
    " rings sub {line9} for {n9} s",
    " rings {thing} for {n9} s",
    ": time set {times} holds now",
    ": time set {times} does not hold now",
    ": the caller is among its callers",
    ": the caller is not among its callers",
    " leads back: the callflow ends",
    " rejects: {n9} {text}",
    " rejects",
    " is of no known kind: the callflow ends",
)
"""What is said of a step of a callflow."""

TEMPLATES: Final = (
    # Where to, beyond a line: what is dialled inside an account, and who leads the call on.
    "user {n} of account {account} is suspended",
    *(f"{what} {{dialled}} of account {{account}} reaches {to}" for what in ("name", "extension") for to in LED),
    *(f"number {{digits}} of account {{account}} reaches {to}" for to in LED),
    *(
        f"{said.format(by=by)}{end}"
        for by in LEADERS
        for said, ends in (
            ("forward {{n8}} of {by} ({{kind}})", (*(f" leads to {to}" for to in LED), LED_TOO_OFTEN)),
            ("overflow of {by}", (*(f" leads to {to}" for to in LED), LED_TOO_OFTEN)),
            ("step {{n8}} of {by}", (*(f" leads to {to}" for to in LED), LED_TOO_OFTEN, *STEPS)),
            ("{by}", (*(f" leads to {to}" for to in LED), *(f" leads back to {to}: a loop" for to in LED), *SAID)),
        )
        for end in ends
    ),
    *(f"sub {{line}} passed over: {why}" for why in PASSED_OVER),
    *(f"user {{n}} of account {{account}} passed over: {why}" for why in PASSED_OVER[:2]),
    *(
        f"{by}: level {{n8}} account {{account8}} is {fault}"
        for by in LEADERS[1:]
        for fault in ("suspended", "locked: {word}")
    ),
    # Of what a forward costs and who carries it, as if the forwarder had called: see _LEAP.
    "number {digits} is paid by level {n} account {account}",
    *(
        f"left out: {why}"
        for why in (
            "account {account} cannot pay for it",
            "nothing can be held for it",
            "too many others could not be made",
            "it may not be made",
            "nobody takes it",
            "sub {line} has as many calls as it may",
            "user {n} of account {account} has as many calls as it may",
            "who leads there has as many calls as it may",
        )
    ),
)
