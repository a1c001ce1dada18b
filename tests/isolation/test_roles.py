"""The platform's own roles are not bound: the owner's functions, settlement, sync and the tools see every row."""

from __future__ import annotations

import pytest

from tests.isolation.judging import Planted
from tests.isolation.roles import misdone
from tests.isolation.tables import TABLES

ROLES = ("tandem_owner", "tandem_settle", "tandem_sync", "tandem_tool")


@pytest.mark.parametrize("role", ROLES)
def test_what_was_granted_is_whole(planted: Planted, role: str) -> None:
    """Each table: what the role was granted it can do on every row. A policy too few would post calls to nobody."""
    assert [said for table in TABLES for said in misdone(planted, role, table)] == []
