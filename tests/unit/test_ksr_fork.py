"""What several branches of one target say together, and which contacts find room."""

from __future__ import annotations

from typing import Final

import pytest

from kemi.adapters import ksr_fork, ksr_plan
from kemi.adapters.ksr_fork import RUID
from kemi.adapters.ksr_plan import Asked, Here, Plan
from kemi.core.outcome import Stage
from tests.fakes.ksr import FakeKsr
from tests.planned_edge import line

NS: Final = 1_000_000
BEGUN_NS, RANG_NS = 5_000 * NS, 5_120 * NS
BOB, CAROL = line("bob@a.example"), line("carol@a.example")


def plan() -> Plan:
    """Return a plan whose two targets ring together, the first on two phones."""
    targets = (BOB, CAROL)
    begun = Plan("r", 60, targets, stages=(Stage(0, 2, together=True),)).at_stage(0, Here(BEGUN_NS, 1_000))
    return begun._replace(forks=(("b1", 0), ("b2", 0), ("c", 1)))


def noted(*branches: tuple[int, int, bool]) -> FakeKsr:
    """Return a call with these branches: place, final status, and whether it rang."""
    ksr = FakeKsr()
    for at, (place, status, rang) in enumerate(branches):
        asked = Asked(0, BEGUN_NS, 1_000, 0, 60, 63_000, RANG_NS if rang else 0, place, is_fork=True, status=status)
        ksr_plan.note(ksr, at, asked)
    return ksr


@pytest.mark.parametrize(
    ("first", "second", "third", "told"),
    [
        ((0, False), (0, False), (0, False), [(408, ""), (408, "")]),  # nobody says anything
        ((0, True), (0, False), (486, True), [(480, "ring"), (486, "")]),
        ((486, True), (0, True), (0, True), [(480, "ring"), (480, "ring")]),  # rang its time comes before busy
        ((486, True), (503, False), (404, False), [(486, ""), (404, "")]),  # busy comes before the rest
        ((302, False), (503, False), (0, False), [(302, ""), (408, "")]),
        ((603, True), (486, True), (0, True), [(603, ""), (0, "")]),  # who declines for all has cancelled the others
        ((0, True), (486, True), (600, True), [(486, ""), (600, "")]),
    ],
)
def test_a_target_is_told_by_its_most_telling_phone(
    first: tuple[int, bool], second: tuple[int, bool], third: tuple[int, bool], told: list[tuple[int, str]]
) -> None:
    ksr = noted((0, *first), (0, *second), (1, *third))
    ended = ksr_fork.ended(ksr, plan(), 9_000)
    assert [(each.place, each.status, each.why) for each in ended.attempts] == [
        (place, *word) for place, word in enumerate(told)
    ]
    rang = [any(rang for _, rang in (first, second)), third[1]]
    assert [each.pdd_ms for each in ended.attempts] == [120 if each else -1 for each in rang]


def test_branches_of_an_attempt_before_say_nothing() -> None:
    ksr = noted((0, 486, True), (0, 0, False), (1, 0, False))
    later = plan()._replace(asked_ns=BEGUN_NS + 1)
    assert [each.status for each in ksr_fork.ended(ksr, later, 9_000).attempts] == [408, 408]


def test_a_487_to_our_own_cancel_is_no_final_word() -> None:
    ksr = noted((0, 0, True))
    ksr.pvs |= {"$rs": 487, "$T_branch_idx": 0}
    ksr_fork.heard(ksr)
    assert ksr_plan.asked_in(ksr, 0) == Asked(0, BEGUN_NS, 1_000, 0, 60, 63_000, RANG_NS, 0, is_fork=True)


def gathered(stages: int, before: int = 0, **contacts: int) -> tuple[ksr_fork.Gathered, FakeKsr]:
    """Gather the phones of bob and carol where `stages` more may follow. before: branches that the call has had."""
    ksr = noted(*[(0, 486, False)] * before)
    found = [f"{name}{at}" for name, count in contacts.items() for at in range(count)]
    ksr.pvs |= {"$ruid": found[0], "$branch(count)": contacts["bob"] - 1}
    ksr.pvs |= dict(zip(RUID, found[1:], strict=False))
    lookup = ksr.registrar.lookup_to_dset

    def second(table: str, uri: str, /) -> int:
        taken_out = sum(str(name).startswith("$(branch(uri)") for (name,) in ksr.did("pv.unset"))
        there = [*found[: contacts["bob"] - taken_out], *found[contacts["bob"] :]]
        ksr.pvs |= {"$branch(count)": len(there) - 1, **dict(zip(RUID, there[1:], strict=False))}
        return lookup(table, uri)

    ksr.registrar.lookup_to_dset = second  # type: ignore[method-assign]
    route = (Stage(0, 2, together=True), *[Stage(0, 1) for _ in range(stages)])
    begun = Plan("r", 60, (BOB, CAROL), stages=route).at_stage(0, Here(BEGUN_NS, 1_000))
    return ksr_fork.gather(ksr, begun, Here(BEGUN_NS, 1_000)), ksr


def test_each_contact_is_known_by_its_own_id() -> None:
    made, _ = gathered(0, bob=2, carol=1)
    assert made == ((("bob0", 0), ("bob1", 0), ("carol0", 1)), ())


def test_contacts_beyond_the_room_are_left_out() -> None:
    """Thirty branches, two of them for the stages that may follow: the last three are taken out of the set again."""
    made, ksr = gathered(2, bob=20, carol=11)
    assert [place for _, place in made.forks] == [0] * 20 + [1] * 8
    assert ksr.did("pv.unset") == [("$fs",), *((f"$(branch(uri)[{at}])",) for at in (29, 28, 27))]


def test_a_target_without_room_for_any_contact_is_left_out_with_a_word() -> None:
    made, _ = gathered(0, 29, bob=20, carol=1)
    assert [place for _, place in made.forks] == [0]
    assert made.missing == ((1, 503, "branches"),)


def test_one_line_with_many_phones_leaves_room_to_the_others() -> None:
    """Three branches for each that comes after it; with fewer left, an equal share."""
    made, ksr = gathered(0, bob=30, carol=1)
    assert made.forks == (*[(f"bob{at}", 0) for at in range(27)], ("carol0", 1))
    assert ksr.did("pv.unset") == [("$fs",), *((f"$(branch(uri)[{at}])",) for at in (28, 27, 26))]
    made, _ = gathered(0, 26, bob=30, carol=2)
    assert made.forks == (("bob0", 0), ("bob1", 0), ("carol0", 1), ("carol1", 1))
