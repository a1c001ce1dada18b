"""What a line expects of a call that is led from one to the next.

A stage is its targets, `alice+bob` ringing together or `acme/one,bell/one` one after the other, how long each rings,
and which stages follow when they are busy, do not answer, or cannot be reached: `alice+bob:20>1,2,-`. `->-,-,-` is left
out. An ending is its status: `603`.
"""

from __future__ import annotations

from kemi.core.outcome import IN, OUT, Decision, Route, Stage, Target
from tests.routing.building import Records
from tests.routing.moments import micros
from tests.routing.people import fund_of

SIDES = {OUT: "out", IN: "in", OUT | IN: "both"}


def told(route: Route) -> str:
    """Return the stages of a route, "" for one that has none."""
    return " ".join(_stage(route.targets, stage) for stage in route.stages)


def stages(text: str, decision: Decision, _records: Records) -> str:
    """`stages alice+bob:20>1,1,1 acme/one:60`; `stages` alone: the call is one hunt."""
    found = told(decision) if isinstance(decision, Route) else "none"
    return "" if found == text else f"they are {found}"


def forward(text: str, decision: Decision, records: Records) -> str:
    """`forward 1 pays cust 0.05 by 33`: a leg of that forward; `forward 1 counts cust`: it is there, for nothing."""
    number, verb, name, *rest = text.split()
    legs = [leg for leg in decision.call.legs if leg.forward == int(number)] if isinstance(decision, Route) else []
    found = [
        f"{leg.rate.per_min_micros} by {leg.prefix}" for leg in legs if records.name_of("account", leg.payer_id) == name
    ]
    wanted = f"{micros(rest[0])} by {rest[2]}" if verb == "pays" else "0 by "
    return "" if wanted in found else f"it is {found}"


def holds(text: str, decision: Decision, records: Records) -> str:
    """Check `holds bob in`: the calls of a line or a user are counted on that side."""
    name, side = text.split()
    funds = decision.hold.funds if isinstance(decision, Route) else ()
    found = [
        SIDES[fund.sides] for fund in funds if fund.fund == fund_of(records, _line(records, name)) and not fund.level
    ]
    wanted = [] if side == "none" else [side]
    return "" if found == wanted else f"it is {found}"


def asks(text: str, decision: Decision, records: Records) -> str:
    """`asks alice eva`: how many calls they have is wanted."""
    found = decision.hold.asks if isinstance(decision, Route) else ()
    wanted = tuple(fund_of(records, _line(records, name)) for name in text.split())
    return "" if found == wanted else f"it is {found}"


def turn(text: str, decision: Decision, records: Records) -> str:
    """`turn sales 0 3`: the order of three stages from the first one on is the store's to say; `turn`: of none."""
    turns = decision.turns if isinstance(decision, Route) else ()
    found = [f"{records.name_of('group', each.group_id)} {each.first_stage} {each.size}" for each in turns]
    return "" if found == ([text] if text else []) else f"it is {found}"


def _line(records: Records, name: str) -> str:
    names = [full for kind, full in records.entities if kind == "line" and name in (full, full.partition("@")[0])]
    return names[0] if names else name


def _stage(targets: tuple[Target, ...], stage: Stage) -> str:
    if not stage.size:
        return str(stage.status)
    names = [targets[place].pinned.name.partition("@")[0] for place in stage.places]
    after = ",".join("-" if at < 0 else str(at) for at in (stage.busy, stage.no_answer, stage.unreachable))
    rings = f"{('+' if stage.together else ',').join(names)}:{stage.ring_s}"
    return rings if after == "-,-,-" else f"{rings}>{after}"
