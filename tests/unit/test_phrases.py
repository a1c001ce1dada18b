"""What a status is called."""

from __future__ import annotations

import pytest

from kemi.core.hunt import STOP
from kemi.core.phrases import PHRASES, phrase_of
from kemi.core.refusals import STATUS_MAX, STATUS_MIN, is_sendable


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (404, "Not Found"),
        (486, "Busy Here"),
        (603, "Decline"),
        (499, "Request Failure"),
        (599, "Server Failure"),
        (699, "Global Failure"),
        (302, ""),
        (700, ""),
        (0, ""),
    ],
)
def test_a_status_has_its_own_phrase_or_that_of_its_class(status: int, phrase: str) -> None:
    assert phrase_of(status) == phrase


def test_every_failure_can_be_sent_without_a_phrase_of_ones_own() -> None:
    assert all(is_sendable(status, phrase_of(status)) for status in range(STATUS_MIN, STATUS_MAX + 1))
    assert all(PHRASES[status] == phrase for status, phrase in STOP.items())
