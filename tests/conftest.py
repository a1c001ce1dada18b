"""The plug-ins of the tests: their real resources, and how processes share them. No example of a law is timed."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ("tests.fix_postgres", "tests.fix_redis", "tests.fix_stack", "tests.fix_forks", "tests.side_by_side")

# On a machine that others share an example takes as long as it takes.
settings.register_profile("tandem", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("tandem")
