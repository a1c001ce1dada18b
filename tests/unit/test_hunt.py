"""What a failed attempt leads to."""

from __future__ import annotations

import pytest

from kemi.core.hunt import STOP, after_failure
from tests.fakes.world import BOB_NUMBER, World, invite

CARRIERS = World().route(invite()).targets
PHONE = World().route(invite(callee=BOB_NUMBER)).targets
GO_ON = (300, 302, 400, 401, 402, 403, 405, 407, 408, 415, 429, 482, 483, 488, 491, 499, 500, 502, 503, 504, 580, 599)


@pytest.mark.parametrize("status", GO_ON)
def test_what_the_carrier_said_lets_the_hunt_go_on(status: int) -> None:
    """The called party was never asked; a status that nobody knows counts as such."""
    assert after_failure(CARRIERS, 1, status) == CARRIERS[1]
    assert after_failure(CARRIERS, 3, status) == CARRIERS[3]


@pytest.mark.parametrize("status", [404, 410, 480, 484, 485, 486, 487, 600, 603, 604, 606, 607, 608])
def test_what_the_called_party_said_is_final(status: int) -> None:
    """Busy is busy by any carrier, and the caller is told exactly that."""
    assert after_failure(CARRIERS, 1, status) == (status, STOP[status])


@pytest.mark.parametrize("status", [601, 699, 700, 9999])
def test_an_unknown_global_failure_is_a_busy_everywhere(status: int) -> None:
    """RFC 3261 §8.1.3.2: an unknown status counts as the x00 of its class."""
    assert after_failure(CARRIERS, 1, status) == (600, "Busy Everywhere")


@pytest.mark.parametrize("status", GO_ON)
def test_when_all_have_failed_the_caller_hears_one_thing(status: int) -> None:
    """No challenge, redirection or opinion of a carrier reaches the caller."""
    assert after_failure(CARRIERS, len(CARRIERS), status) == (503, "Service Unavailable")


@pytest.mark.parametrize("status", [401, 407, 408, 500, 503])
def test_a_phone_that_fails_is_unavailable(status: int) -> None:
    """No carrier was involved, so none is blamed."""
    assert after_failure(PHONE, 1, status) == (480, "Temporarily Unavailable")


def test_a_hunt_begins_at_its_first_target() -> None:
    """A failure before anything was tried loses nothing."""
    assert after_failure(CARRIERS, 0, 503) == CARRIERS[0]


def test_busy_on_a_phone_is_told() -> None:
    """486 from the phone is the answer."""
    assert after_failure(PHONE, 1, 486) == (486, "Busy Here")


@pytest.mark.parametrize("tried", [-1, 99])
def test_a_count_that_is_wrong_ends_the_hunt(tried: int) -> None:
    """A plan that was lost or mixed up is not tried from its start again."""
    assert after_failure(CARRIERS, tried, 503) == (503, "Service Unavailable")
    assert after_failure((), 0, 503) == (503, "Service Unavailable")
