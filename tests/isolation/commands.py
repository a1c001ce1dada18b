"""Commands of `tandem` on a database, as tests/tenant_world.py runs them, group by group: many are run here.

Putting the whole command line together takes longer than most commands do.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any, Final

import pytest
import typer
from typer.testing import CliRunner

from tests.fix_postgres import Database
from tools.account.command import app as account
from tools.errors import OperatorError
from tools.report.command import report
from tools.tenant.apply import apply
from tools.tenant.command import groups
from tools.tenant.export import export


def _alone(command: Callable[..., None]) -> typer.Typer:
    made = typer.Typer()
    made.command()(command)
    return made


_APPS: Final[dict[str, typer.Typer]] = {
    **groups(), "account": account, "report": report, "export": _alone(export), "apply": _alone(apply),
}  # fmt: skip


class Commands:
    """Commands that run with the rights of a tool only; a command is written as on a shell's line."""

    def __init__(self, database: Database) -> None:
        dsn = database.server.dsn(database.name, "tandem_tool")
        self.environment = {"TANDEM_ACTOR": "oracle", "TANDEM_AS": "", "DATABASE_URL": dsn, "REDIS_URL": ""}

    def run(self, line: str) -> str:
        """Run a command and return what it prints. Raises OperatorError."""
        group, *words = shlex.split(line)
        result = CliRunner().invoke(_APPS[group], words, env=self.environment, catch_exceptions=False)
        assert result.exit_code == 0, f"{line}: {result.output}"
        return result.output

    def json(self, line: str) -> Any:
        """Run a command with --json and return what it says."""
        return json.loads(self.run(f"{line} --json"))

    def refused(self, line: str) -> str:
        """Return the sentence with which a command is refused; one that is not refused fails the test."""
        with pytest.raises(OperatorError) as refusal:
            self.run(line)
        return str(refusal.value)
