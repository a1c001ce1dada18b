"""The `tandem` command: one line per sub-command, and one way to say what is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import typer

from kemi.adapters.redis_client import RedisUrlError
from tools.account.command import app as account
from tools.audit import audit
from tools.bench.money import money
from tools.bench.relay import relay
from tools.carrier import carrier
from tools.errors import OperatorError
from tools.exchange import exchange
from tools.explain.command import explain
from tools.imports.command import imports
from tools.lint_routes.command import lint_routes
from tools.migrate import migrate
from tools.national.command import rewrite
from tools.noc import noc
from tools.printable import printable
from tools.recover import recover
from tools.replay.command import replay_calls
from tools.report.command import report
from tools.scenario.command import demo, scenarios
from tools.settle.command import app as settle
from tools.stack import state
from tools.stack.command import app as stack
from tools.stack.layout import Layout
from tools.sync.command import sync
from tools.tenant.apply import apply
from tools.tenant.command import groups as tenant_groups
from tools.tenant.export import export
from tools.tenant.schema import schema

app = typer.Typer(
    name="tandem",
    help="Tools of the Tandem SIP router; those that need a stack take it from the environment, else from RUN_DIR.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a plain trace in a log; locals would show passwords
)
bench = typer.Typer(no_args_is_help=True, help="Figures as ratios measured in one run on this machine.")
bench.command()(relay)
bench.command()(money)
app.add_typer(stack, name="stack")
app.command()(migrate)
app.command()(sync)
app.add_typer(settle, name="settle")
app.command()(demo)
app.command()(scenarios)
app.add_typer(bench, name="bench")
app.add_typer(noc, name="noc")
app.add_typer(account, name="account")
app.add_typer(carrier, name="carrier")
app.add_typer(exchange, name="exchange")
app.add_typer(rewrite, name="rewrite")
app.add_typer(imports, name="import")
for name, commands in tenant_groups().items():
    app.add_typer(commands, name=name)
app.command()(apply)
app.command()(export)
app.command()(schema)
app.add_typer(report, name="report")
app.command()(explain)
app.command(name="replay")(replay_calls)
app.command(name="lint-routes")(lint_routes)
app.command()(recover)
app.command()(audit)

_READ: Final = frozenset({"DATABASE_URL", "REDIS_URL", "LOGNAME", "USER", "LNAME", "USERNAME"})  # and TANDEM_…


def main() -> None:
    """Run the command. A user's mistake is one sentence on stderr and status 1, never a trace."""
    try:
        _refuse_other_encodings(sys.argv[1:], os.environ)
        _join_running_stack()
        app()
    except (OperatorError, RedisUrlError) as error:
        print("\n".join(map(printable, str(error).splitlines())), file=sys.stderr)  # noqa: T201
        sys.exit(1)


def _refuse_other_encodings(words: Sequence[str], env: Mapping[str, str]) -> None:
    """Raise OperatorError for bytes that are no UTF-8: neither Postgres nor JSON could keep them as they were typed."""
    named = {f"word {at}": word for at, word in enumerate(words, 1)}
    named |= {name: value for name, value in env.items() if name in _READ or name.startswith("TANDEM_")}
    for name, text in named.items():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            shown = "" if name.endswith("_URL") or "://" in text else f" {text[:40]!r}"  # it may hold a password
            raise OperatorError(f"{name}:{shown} has bytes that are no UTF-8") from error


def _join_running_stack() -> None:
    """Take the private stack's addresses from `.run/env`, unless any is set: two worlds are never mixed."""
    values = state.read_env(Layout.from_environment(os.environ).env_file)
    own = {"DATABASE_URL", "REDIS_URL"}
    if not own & set(os.environ):
        os.environ.update({name: value for name, value in values.items() if name not in os.environ})


if __name__ == "__main__":
    main()
