"""A start of `tandem` imports what its command needs, and shows what the commands themselves say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.cli import COMMANDS
from tools.lazy import Lazy, real

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"psycopg", "redis", "dns", "rich", "phonenumbers", "yaml", "babel", "asyncio"}


def loaded(program: str) -> set[str]:
    """Run a program; return the top names of all that it has imported at its end."""
    told = f"{program}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, check=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_command_line_alone_loads_no_library_of_its_commands() -> None:
    """No driver, no resolver, no tables: a help must not pay for them."""
    assert loaded("import tools.cli") & HEAVY == set()


def test_a_list_of_names_loads_no_command() -> None:
    """The words of a completion come from the table."""
    program = "from typer.testing import CliRunner; from tools.cli import app\n"
    program += "assert 'migrate' in CliRunner().invoke(app, ['--help']).output"
    assert loaded(program) & (HEAVY - {"rich"}) == set()


@pytest.mark.parametrize(
    ("command", "without"),
    [
        ("tools.account.command", {"redis", "dns", "phonenumbers", "babel"}),
        ("tools.tenant.command", {"redis", "dns", "phonenumbers", "babel"}),
        ("tools.load.command", {"dns", "phonenumbers", "yaml", "babel", "matplotlib", "numpy"}),
        ("tools.migrate", {"redis", "dns", "phonenumbers", "babel", "yaml"}),
    ],
)
def test_a_command_loads_no_library_of_others(command: str, without: set[str]) -> None:
    assert loaded(f"import {command}") & without == set()


@pytest.mark.parametrize("lazy", COMMANDS, ids=[each.name for each in COMMANDS])
def test_the_table_says_of_a_command_what_it_says_itself(lazy: Lazy) -> None:
    """So the help is the same whether it has been imported or not."""
    command = real(lazy)
    assert command.name == lazy.name
    assert " ".join(command.help.split("\n\n")[0].split()) == lazy.help
    assert not command.hidden
