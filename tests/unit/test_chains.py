"""The accounts above a line."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core.chains import LEVELS_MAX, climb
from kemi.core.draft import Draft
from kemi.core.outcome import Reject, Route
from kemi.records import Account, Lock, ReplyOverride
from tests.fakes.world import ABROAD, ALICE, BOB_NUMBER, CAROL_NUMBER, TRUNK, World, from_trunk, invite


def test_a_chain_ends_below_the_root() -> None:
    """Levels are counted from the line's own account; the root is none of them."""
    chain = climb(Draft(invite(), World().facts()), 5)
    assert chain is not None
    assert [account.id for account in chain.levels] == [5, 3, 2]
    assert chain.root.id == 1
    assert [chain.is_under(account_id) for account_id in (5, 3, 2, 1, 8)] == [True, True, True, True, False]


def test_a_line_may_use_the_carriers_of_its_chain() -> None:
    """Those of the accounts that own any, nearest first, and of the root."""
    world = World()
    world.change("acct:8", owns_carriers=True)
    chain = climb(Draft(invite(), world.facts()), 5)
    assert chain is not None
    assert [account.id for account in chain.carrier_owners] == [2, 1]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda world: world.records.pop("acct:2"),
        lambda world: world.change("acct:2", parent_id=5),
        lambda world: world.change("acct:5", parent_id=5),
        lambda world: world.change("acct:2", parent_id=0),
        lambda world: world.change(f"sub:{ALICE}", account_id=1),
        lambda world: world.change(f"sub:{ALICE}", account_id=0),
    ],
)
def test_a_broken_chain_refuses(break_it: Any) -> None:
    """An account missing, in a circle, without a parent but no root, or a line on the root: somebody has to look."""
    world = World()
    break_it(world)
    refusal = world.refusal(invite())
    assert (refusal.reason, refusal.status) == ("misconfigured", 500)


def test_a_chain_has_at_most_eight_levels() -> None:
    """Eight levels climb, nine do not."""
    world = World()
    for account_id in range(101, 101 + LEVELS_MAX):
        world.put(f"acct:{account_id}", Account(account_id, account_id - 1, 2, 0, "deep", "EUR", 50, "UTC"))
    world.change("acct:1", id=100)
    world.put("acct:100", world.records["acct:1"])
    draft = Draft(invite(), world.facts())
    eight = climb(draft, 100 + LEVELS_MAX)
    assert eight is not None
    assert len(eight.levels) == LEVELS_MAX
    world.put("acct:200", Account(200, 100 + LEVELS_MAX, 2, 0, "too deep", "EUR", 50, "UTC"))
    assert climb(draft, 200) is None


@pytest.mark.parametrize(("status", "word"), [(1, "suspended"), (2, "closed")])
@pytest.mark.parametrize(("account_id", "level"), [(5, 1), (3, 2), (2, 3), (1, 4)])
def test_an_inactive_level_is_named(account_id: int, level: int, status: int, word: str) -> None:
    """A suspended reseller stops everybody below, and the refusal says which level it was."""
    world = World()
    world.change(f"acct:{account_id}", status=status)
    refusal = world.refusal(invite())
    assert (refusal.reason, refusal.status, refusal.account_id) == ("suspended", 403, account_id)
    assert refusal.trace[-1] == f"level {level} account {account_id} is {word}"


@pytest.mark.parametrize(
    ("lock", "abroad", "internal"),
    [
        (Lock.NONE, "", ""),
        (Lock.FOREIGN, "foreign", ""),
        (Lock.OUTGOING, "outgoing", "outgoing"),
        (Lock.ALL, "all", "all"),
        (Lock.GLOBAL, "global", "global"),
    ],
)
@pytest.mark.parametrize(("account_id", "level"), [(5, 1), (3, 2)])
def test_a_locked_level_is_named(account_id: int, level: int, lock: Lock, abroad: str, internal: str) -> None:
    """Each lock adds to the one before, at any level of the caller's chain; emergency calls pass."""
    world = World()
    world.change(f"acct:{account_id}", lock=lock)
    for callee, word in ((ABROAD, abroad), (CAROL_NUMBER, internal)):
        decision = world.decide(invite(callee=callee))
        if word:
            assert isinstance(decision, Reject)
            assert (decision.reason, decision.status, decision.account_id) == ("locked", 403, account_id)
            assert decision.trace[-1] == f"level {level} account {account_id} is locked: {word}"
        else:
            assert isinstance(decision, Route)
    assert world.route(invite(callee="112")).emergency


def test_a_suspended_line_with_a_trusted_address_is_refused() -> None:
    """It is known who calls, so the refusal may say why."""
    world = World()
    world.change(f"sub:{TRUNK}", status=1)
    refusal = world.refusal(from_trunk())
    assert (refusal.reason, refusal.account_id) == ("suspended", 5)
    assert refusal.trace[-1] == f"sub {TRUNK} is suspended"


@pytest.mark.parametrize(
    ("barred", "callee", "expected"),
    [
        (("33",), "33140000000", "33"),
        (("49", "331"), "33140000000", "331"),
        (("",), "33140000000", "all"),
        (("44",), BOB_NUMBER, "44"),
    ],
)
def test_barring_refuses(barred: tuple[str, ...], callee: str, expected: str) -> None:
    """Every level may bar, outbound and internal calls alike; "" bars all."""
    world = World()
    world.change("acct:3", barred=barred)
    refusal = world.refusal(invite(callee=callee))
    assert (refusal.reason, refusal.account_id) == ("barred", 3)
    assert refusal.trace[-1] == f"level 2 account 3 bars {expected}"


def test_what_is_not_barred_passes() -> None:
    """A prefix bars what begins with it, nothing shorter."""
    world = World()
    world.change("acct:3", barred=("34", "331400000001"))
    assert world.route(invite())


def test_the_nearest_own_answer_is_told() -> None:
    """A customer's answer replaces its reseller's, for its own reason only."""
    world = World()
    world.change("acct:2", barred=("33",), replies=(ReplyOverride("barred", 480, "Far"),))
    assert world.refusal(invite()).phrase == "Far"
    world.change("acct:5", replies=(ReplyOverride("no_rate", 480, "Other"), ReplyOverride("barred", 488, "Near")))
    refusal = world.refusal(invite())
    assert (refusal.status, refusal.phrase) == (488, "Near")
