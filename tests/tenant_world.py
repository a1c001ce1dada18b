"""The demo world, and the commands about what tenants have, run as people run them: with the rights of a tool only."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from tests.fix_postgres import Database
from tools.account.command import app as account
from tools.errors import OperatorError
from tools.tenant.command import groups

# Group by group: putting the whole command line together takes longer than most commands do.
APPS: Final[dict[str, typer.Typer]] = {**groups(), "account": account}


class Told(NamedTuple):
    """A command of a story. stdin: what is piped into it. says: what it prints, or with `!` how it is refused."""

    line: str
    stdin: str
    says: str


def told(path: Path) -> list[Told]:
    """Return the commands of a story: `$` a command, `<` what is piped into it, `>` or `!` what it says."""
    found: list[Told] = []
    for text in path.read_text().splitlines():
        mark, _, rest = text.partition(" ")
        if mark == "$":
            found.append(Told(rest, "", ""))
        elif mark == "<":
            found[-1] = found[-1]._replace(stdin=rest + "\n")
        elif mark in {">", "!"}:
            found[-1] = found[-1]._replace(says=rest)
    return found


class TenantWorld:
    """Commands on a database; a command is written as on a shell's line."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.dsn = database.server.dsn(database.name, "tandem_tool")

    def run(self, line: str, stdin: str = "", **env: str) -> str:
        """Run a command and return what it prints; no other environment than `env`. Raises OperatorError."""
        clean = {"TANDEM_ACTOR": "eve", "TANDEM_AS": "", "DATABASE_URL": self.dsn, "REDIS_URL": "", **env}
        group, *words = shlex.split(line)
        result = CliRunner().invoke(APPS[group], words, input=stdin, env=clean, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def json(self, line: str) -> Any:
        """Run a command with --json and return what it says."""
        return json.loads(self.run(f"{line} --json"))

    def refused(self, line: str, stdin: str = "") -> str:
        """Return the sentence with which a command is refused; one that is not refused fails the test."""
        with pytest.raises(OperatorError) as refusal:
            self.run(line, stdin)
        sentence = str(refusal.value)
        assert "\n" not in sentence, sentence
        return sentence
