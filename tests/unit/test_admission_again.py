"""A call that is decided again without who has refused it, and groups in the order that the hold's answer gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kemi import admission
from kemi.adapters import ksr_shared
from kemi.adapters.redis_funds import Held, Refused
from kemi.adapters.redis_operations import Unarmed
from kemi.admission import Seen, Verdict
from kemi.core.again import Again
from kemi.core.decide import decide
from kemi.core.outcome import IN, HoldFund, Route, Turn
from kemi.core.request import CallRequest
from tests.fakes.ksr import FakeKsr
from tests.fakes.world import CUSTOMER, invite
from tests.unit.test_admission import SEEN, admit, refusal
from tests.unit.test_admission import admission as made_admission

HELD = Held(60, (), 1, 1)
FORWARDER = 77
LINE = "line5:"


class Planned:
    """Decides as the core does, and adds a forward and a called line, or leaves them out as it is told.

    asked: what each decision had to leave out. arranged: what the route's groups were ordered by.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
        self.asked: list[Again] = []
        self.leaves_out = True
        self.arranged: list[tuple[Mapping[str, int], Mapping[int, int]]] = []
        self.made, self.redis, _ = made_admission(*answers)
        monkeypatch.setattr(admission, "decide", self._decide)
        monkeypatch.setattr(admission, "arranged", self._arrange)
        self.admit(invite())
        self.asked.clear()

    def admit(self, call: CallRequest, seen: Seen = SEEN) -> Verdict:
        """Return the verdict on a call."""
        return admit(self.made, call, seen)

    def _decide(self, call: CallRequest, facts: Any, **left_out: Any) -> Any:
        made, without = decide(call, facts), Again(**left_out)
        if not isinstance(made, Route):
            return made
        self.asked.append(without)
        forward = made.call.legs[0]._replace(payer_id=FORWARDER, fund=f"{FORWARDER}:EUR", forward=1, level=9)
        more = () if self.leaves_out and FORWARDER in without.without else (HoldFund(forward.fund, FORWARDER, 9),)
        line = () if LINE in without.busy else (HoldFund(LINE, CUSTOMER, 0, IN),)
        hold = made.hold._replace(funds=(*made.hold.funds, *more, *line), asks=(LINE,), turns=(3,))
        pinned = made.call._replace(legs=(*made.call.legs, *((forward,) if more else ())))
        return made._replace(call=pinned, hold=hold, turns=(Turn(3, 0, 1, is_circular=True),))

    def _arrange(self, route: Route, counts: Mapping[str, int], turns: Mapping[int, int]) -> Route:
        self.arranged.append((counts, turns))
        return route


def credit(account_id: int, fund: str) -> Refused:
    return Refused("credit", account_id, (), 1, fund)


def test_a_forwarder_who_cannot_pay_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call goes all the same, with one more hold and nothing fetched."""
    planned = Planned(monkeypatch, HELD, credit(FORWARDER, f"{FORWARDER}:EUR"), HELD)
    before = planned.redis.round_trips
    verdict = planned.admit(invite())
    assert isinstance(verdict.decision, Route)
    assert (verdict.held, planned.redis.round_trips - before) == (HELD, 2)
    assert planned.asked == [Again(), Again(without=frozenset({FORWARDER}))]


def test_a_called_line_that_has_its_calls_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its forwards on busy count then; who else refuses after that is left out too."""
    refusals = Refused("channels", CUSTOMER, (), 1, LINE), credit(FORWARDER, f"{FORWARDER}:EUR")
    planned = Planned(monkeypatch, HELD, *refusals, HELD)
    verdict = planned.admit(invite())
    assert isinstance(verdict.decision, Route)
    busy, both = Again(busy=frozenset({LINE})), Again(frozenset({FORWARDER}), frozenset({LINE}))
    assert planned.asked == [Again(), busy, both]


def test_a_call_is_decided_again_three_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that always finds somebody else who cannot pay makes no worker ask for ever: the third is not asked for.

    Then nobody leads the call on any more, so what is refused is the caller's own.
    """
    others = [credit(FORWARDER, f"{FORWARDER}:EUR")] * 3
    planned = Planned(monkeypatch, HELD, *others, credit(CUSTOMER, f"{CUSTOMER}:EUR"))
    monkeypatch.setattr(planned, "leaves_out", False)
    before = planned.redis.round_trips
    assert refusal(planned.admit(invite())) == "no_credit"
    assert planned.redis.round_trips - before == 4
    one = Again(without=frozenset({FORWARDER}))
    assert planned.asked == [Again(), one, one, one._replace(unled=True)]


@pytest.mark.parametrize("answer", [credit(CUSTOMER, f"{CUSTOMER}:EUR"), Refused("full", 0, (), 1), Unarmed(0)])
def test_nobody_is_left_out_who_has_to_pay_anyway(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """The caller's own chain, and the store itself, refuse the whole call at once."""
    planned = Planned(monkeypatch, HELD, answer)
    before = planned.redis.round_trips
    assert refusal(planned.admit(invite())) in ("no_credit", "full", "unarmed")
    assert planned.redis.round_trips - before == 1


def test_groups_are_ordered_by_what_the_hold_has_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls by fund, and how many took the turn before; one round trip as ever."""
    planned = Planned(monkeypatch, HELD, HELD._replace(counts=(2,), turns=(41,)))
    before = planned.redis.round_trips
    planned.admit(invite())
    assert planned.arranged[-1] == ({LINE: 2}, {3: 41})
    assert planned.redis.round_trips - before == 1


def test_without_the_stores_word_a_turn_is_the_nodes_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of the release before tells nothing; an emergency call that is refused goes all the same."""
    planned = Planned(monkeypatch, HELD, HELD, credit(CUSTOMER, f"{CUSTOMER}:EUR"))
    taken: list[int] = []

    def take_turn(group: int) -> int:
        taken.append(group)
        return len(taken) - 1

    seen = SEEN._replace(take_turn=take_turn)
    planned.admit(invite(), seen)
    urgent = planned.admit(invite(callee="112"), seen)
    assert isinstance(urgent.decision, Route)
    assert planned.arranged[-2:] == [({}, {3: 0}), ({}, {3: 1})]


def test_a_node_counts_the_turns_of_each_group_by_itself() -> None:
    """In shared memory, so that all its workers count together."""
    ksr = FakeKsr()
    taken = [ksr_shared.take_turn(ksr, group) for group in (3, 3, 4, 3)]
    assert taken == [0, 1, 0, 2]


def test_a_lease_lasts_as_long_as_the_stages_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the route says of its stages counts; without stages its attempts do."""
    planned = Planned(monkeypatch, HELD)
    verdict = planned.admit(invite())
    assert isinstance(verdict.decision, Route)
    plain = planned.made.lease_s(verdict.decision)
    assert (plain > 0, planned.made.lease_s(verdict.decision._replace(waits_s=plain + 7))) == (True, plain + 7)
