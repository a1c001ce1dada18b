"""The plug-ins of the tests, one per real resource."""

from __future__ import annotations

pytest_plugins = ("tests.fix_postgres", "tests.fix_redis", "tests.fix_stack")
