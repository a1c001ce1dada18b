"""The corpus again, beside another tenant who would like these calls."""

from __future__ import annotations

from typing import Final

import pytest

from kemi.core.decide import decide
from tests.routing.asking import facts, records_of, request
from tests.routing.building import Records
from tests.routing.entities import parse
from tests.routing.tables import Line, lines

STRANGER: Final = (
    "account stranger under root 33=9 44=9 routing=weight carriers=own_only loss=any attempts=1 blocked_out=*",
    "domain stranger.example of stranger",
    "line sly@stranger.example of stranger cli=442099999999 hidden blocked_in=*",
    "carrier greedy of stranger 33=0 44=0 49=0 1=0 priority=0 share=1000 may_return",
    "server greedy/one 203.0.113.250 weight=1000000 asr=100 acd=6000 pdd=0",
    "rule 9001 any to greedy stopper",
    "rule 9002 33 to greedy block",
    "rule 9003 33140000000 to greedy stopper",
    "emergency 9001 112 greedy in stranger.example",
    "emergency 9002 112 greedy region=strange",
)
LINES: Final = tuple(line for line in lines("cases") if line.cell(3) in {"out", "in", "internal", "emergency"})


@pytest.mark.parametrize("line", [pytest.param(line, id=line.place) for line in LINES])
def test_a_stranger_changes_nothing(line: Line) -> None:
    """His carriers, rules, lists and numbers touch nobody else's calls: neither where they go, nor what is told of it.

    Quality is common: how well a server does is known of all of them. So these lines are left alone with it.
    """
    alone, beside = records_of(line), Records(parse(STRANGER, line.world))
    beside.records["quality"] = alone.records["quality"]
    call = request(line, alone)
    assert decide(call, facts(line, beside)) == decide(call, facts(line, alone)), f"{line.place}: {line.text}"
