"""What a line expects, compared with what was decided.

The verdict is `out`, `in`, `internal` or `emergency` for a call that goes; `challenge 407`; or a reason and its status,
`barred 403`. Carriers stand in hunting order, those in brackets in any order among themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from kemi.core.outcome import Challenge, Decision, Need, Register, Reject, Route, Target
from kemi.records import Choice
from tests.routing import stages
from tests.routing.building import Records
from tests.routing.entities import TextError
from tests.routing.moments import micros
from tests.routing.tables import Line

VERDICT: Final = 3
CARRIERS: Final = 4
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pai": "P-Asserted-Identity",
        "ppi": "P-Preferred-Identity",
        "rpid": "Remote-Party-ID",
        "privacy": "Privacy",
        "diversion": "Diversion",
    }
)

_GROUP: Final = re.compile(r"\(([^)]*)\)|(\S+)")


def faults(line: Line, decision: Decision | Need, records: Records) -> list[str]:
    """Return what is otherwise than the line says, [] when nothing is."""
    found: list[str] = []
    told = verdict(decision)
    if told != line.cell(VERDICT):
        found.append(f"verdict is {told}, not {line.cell(VERDICT)}")
    if line.cell(CARRIERS) or isinstance(decision, Route):
        found.extend(_order(line.cell(CARRIERS), names(decision)))
    for claim in line.claims:
        fault = _of_claim(claim, decision, records)
        if fault:
            found.append(f"{claim}: {fault}")
    return found


def verdict(decision: Decision | Need) -> str:
    """Return a decision in the words of the corpus."""
    match decision:
        case Route():
            return "emergency" if decision.emergency else decision.call.direction
        case Reject():
            return f"{decision.reason} {decision.status}"
        case Challenge():
            return f"challenge {decision.status}"
        case Register():
            return "register"
        case _:
            return f"need {decision.keys}"


def names(decision: Decision | Need) -> list[str]:
    """Return where the call goes, in hunting order."""
    return [target.pinned.name for target in decision.targets] if isinstance(decision, Route) else []


def told(decision: Decision | Need) -> Iterator[str]:
    """Tell a decision to a person who has to find out why a line fails."""
    yield f"verdict  {verdict(decision)}"
    yield f"carriers {' '.join(names(decision))}"
    for choice in _choices(decision):
        yield f"choice   {choice.name}: {choice.cost_micros} {choice.currency} for {choice.expected_s} s: {choice.why}"
    for target in decision.targets if isinstance(decision, Route) else ():
        headers = "  ".join(f"{header.name}: {header.value}" for header in target.headers)
        yield f"target   {target.ruri} via {target.next_hop} from {target.from_display!r} {target.from_uri}  {headers}"
    if isinstance(decision, Route) and decision.stages:
        yield f"stages   {stages.told(decision)}"
    for sentence in () if isinstance(decision, Need) else decision.trace:
        yield f"trace    {sentence}"


def _order(expected: str, found: list[str]) -> Iterator[str]:
    rest = list(found)
    for group, name in _GROUP.findall(expected):
        wanted = group.split() or [name]
        if sorted(rest[: len(wanted)]) != sorted(wanted):
            yield f"carriers are {' '.join(found) or 'none'}"
            return
        del rest[: len(wanted)]
    if rest:
        yield f"carriers are {' '.join(found)}"


def _of_claim(claim: str, decision: Decision | Need, records: Records) -> str:
    if isinstance(decision, Need):
        return "nothing was decided"
    first, _, rest = claim.partition(" ")
    if first in _CLAIMS:
        return _CLAIMS[first](rest, decision, records)
    return _of_carrier(first, rest, decision)


def _not(text: str, decision: Decision, _records: Records) -> str:
    """`not bell/one: failed lately`: it is left out, for that reason."""
    name, _, why = text.partition(":")
    if any(name in (each, each.partition("/")[0]) for each in names(decision)):
        return "it is there"
    whys = [choice.why for choice in _choices(decision) if choice.why and _is_called(choice, name)]
    return "" if any(why.strip() in each for each in whys) else f"its reasons are {whys}"


def _unheard(text: str, decision: Decision, _records: Records) -> str:
    """`unheard own`: nothing that is told or kept names it."""
    text = text.strip()
    if any(text in sentence for sentence in decision.trace):
        return "a trace names it"
    return "it was weighed" if any(_is_called(choice, text) for choice in _choices(decision)) else ""


def _says(text: str, decision: Decision, _records: Records) -> str:
    return "" if any(text in sentence for sentence in decision.trace) else "no sentence says so"


def _by(text: str, decision: Decision, records: Records) -> str:
    if not isinstance(decision, Reject):
        return "nobody refused"
    return "" if records.name_of("account", decision.account_id) == text else f"account {decision.account_id} refused"


def _reply(text: str, decision: Decision, _records: Records) -> str:
    if not isinstance(decision, Reject):
        return "no reply was told"
    found = f"{decision.status} {decision.phrase} {decision.q850}"
    return "" if found == text else f"it is {found}"


def _call(field: str) -> Callable[[str, Decision, Records], str]:
    def check(text: str, decision: Decision, _records: Records) -> str:
        call = decision.call if isinstance(decision, Route | Reject) else None
        found = str(getattr(call, field, ""))
        return "" if found == text else f"it is {found}"

    return check


def _pays(text: str, decision: Decision, records: Records) -> str:
    """`pays cust 0.05 by 33`: the account's leg has this price of a minute, found under this prefix."""
    name, price, *rest = text.split()
    legs = decision.call.legs if isinstance(decision, Route) else ()
    for leg in legs:
        if records.name_of("account", leg.payer_id) == name:
            found = f"{leg.rate.per_min_micros} by {leg.prefix}"
            return "" if found == f"{micros(price)} by {rest[-1] if rest else leg.prefix}" else f"it is {found}"
    return "it pays nothing"


def _of_carrier(name: str, text: str, decision: Decision) -> str:
    key, _, value = text.partition(" ")
    if key == "costs":
        return _costs(name, value, decision)
    targets = decision.targets if isinstance(decision, Route) else ()
    target = next((each for each in targets if each.pinned.name == name), None)
    if target is None:
        return "the call does not go there"
    found = _seen(target, key)
    if key in ("strips", "keeps"):
        is_stripped = value.lower() in {header.lower() for header in target.remove}
        return "" if is_stripped == (key == "strips") else f"it strips {target.remove}"
    if found is None:
        raise TextError(f"{key} is nothing that a carrier is sent")
    return "" if found == value else f"it is {found or 'not there'}"


def _seen(target: Target, key: str) -> str | None:
    """Return one thing that the far end sees, "" when it is not there, None for a word that nobody knows.

    A header that is there twice is told twice.
    """
    if key.removeprefix("no-") in HEADERS:
        name = HEADERS[key.removeprefix("no-")].lower()
        return " and ".join(header.value for header in target.headers if header.name.lower() == name)
    limits = target.limits
    plain = {
        "user": target.user,
        "to": target.to_uri,
        "behind": " ".join(map(str, target.pinned.forwards)),
        "joins": " ".join(target.pinned.joins),
        "leads": " ".join(target.pinned.leads),
        "uri": target.ruri,
        "hop": target.next_hop,
        "from": target.from_uri,
        "display": target.from_display,
        "contact": " and ".join(header.value for header in target.headers if header.name == "Contact"),
        "socket": limits.socket,
        "channels": str(limits.channels_max),
        "cps": str(limits.cps_max),
        "ring": str(limits.ring_max_s),
        "pdd": str(limits.pdd_max_ms),
        "hosts": " ".join(limits.hosts),
    }
    if key == "dials":
        return target.ruri.partition(":")[2].rpartition("@")[0]
    return "" if key in {"strips", "keeps"} else plain.get(key)


def _costs(name: str, text: str, decision: Decision) -> str:
    """`acme/one costs 0.015 EUR for 180 s`: of an expected call."""
    for choice in _choices(decision):
        if choice.name == name:
            amount, currency, *rest = text.split()
            found = (choice.cost_micros, choice.currency, choice.expected_s)
            wanted = (micros(amount), currency, int(rest[1]) if rest else choice.expected_s)
            return "" if found == wanted else f"it costs {found}"
    return "it was not weighed"


def _choices(decision: Decision | Need) -> tuple[Choice, ...]:
    return decision.choices if isinstance(decision, Route | Reject) else ()


def _is_called(choice: Choice, name: str) -> bool:
    return name in (choice.name, choice.name.partition("/")[0], f"rule{choice.rule_id}")


_CLAIMS: Final[Mapping[str, Callable[[str, Decision, Records], str]]] = MappingProxyType(
    {
        "not": _not,
        "unheard": _unheard,
        "says": _says,
        "by": _by,
        "reply": _reply,
        "pays": _pays,
        "stages": stages.stages,
        "forward": stages.forward,
        "holds": stages.holds,
        "asks": stages.asks,
        "turn": stages.turn,
        "caller": _call("caller"),
        "callee": _call("callee"),
        "routing": _call("routing"),
        "source": _call("source"),
    }
)
