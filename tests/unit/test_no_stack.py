"""Without a stack every command says the same sentence: what is not set, and how to get it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tools.cli import app
from tools.errors import OperatorError

NONE = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "TANDEM_CTL", "TANDEM_SIP"))


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("account list", "DATABASE_URL"),
        ("account topup Alpha 5", "DATABASE_URL"),
        ("account alerts", "DATABASE_URL"),
        ("carrier list", "DATABASE_URL"),
        ("exchange list", "DATABASE_URL"),
        ("explain --call-id x", "DATABASE_URL"),
        ("explain alice@a.example 442079460999", "REDIS_URL"),
        ("migrate", "DATABASE_URL"),
        ("noc end abc", "TANDEM_CTL"),
        ("noc money", "TANDEM_CTL"),
        ("noc status", "TANDEM_CTL"),
        ("recover --accept-past", "DATABASE_URL"),
        ("scenarios", "TANDEM_SIP"),
        ("settle --verify", "DATABASE_URL"),
        ("settle poison list", "DATABASE_URL"),
        ("sync --verify", "DATABASE_URL"),
    ],
)
def test_the_variable_is_named_and_what_to_do(command: str, name: str) -> None:
    done = CliRunner().invoke(app, command.split(), env=NONE)

    assert isinstance(done.exception, OperatorError), done.output
    assert str(done.exception) == f"{name} is not set; `make up` starts a stack and writes it to .run/env"
