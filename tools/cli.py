"""The `tandem` command: one line per sub-command, and one way to say what is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import typer

from kemi.adapters.redis_url import RedisUrlError
from tools.errors import OperatorError
from tools.lazy import Lazy, mount
from tools.printable import printable
from tools.stack import state
from tools.stack.layout import Layout
from tools.version import Tandem, tandem

COMMANDS: Final = (
    Lazy("migrate", "tools.migrate:migrate", "Bring the database to the schema of this release."),
    Lazy("sync", "tools.sync.command:sync",
         "Keep Redis equal to Postgres (DATABASE_URL, REDIS_URL). Any number may run: one is active, others stand by."),
    Lazy("demo", "tools.scenario.command:demo",
         "Place the calls of the demo through the running stack; exit 0 only if every outcome is the expected one."),
    Lazy("scenarios", "tools.scenario.command:scenarios", "Play the SIPp scenarios of one area and say which passed."),
    Lazy("load", "tools.load.command:load",
         "Place the SIPp calls of a load scenario through the stack, and compare each with its record; "
         "exit 1 on a finding."),
    Lazy("soak", "tools.load.command:soak",
         "Let mixed traffic flow and watch the memory of every process; exit 1 when one leaks, or a record differs."),
    Lazy("apply", "tools.tenant.apply:apply",
         "Make an account what a file says of it, and show each change: + new, ~ changed, - removed."),
    Lazy("export", "tools.tenant.export:export",
         "Write an account as a file: all that `tandem apply` can make, and no secrets."),
    Lazy("schema", "tools.tenant.schema:schema", "Print the JSON Schema of the files that `tandem apply` takes."),
    Lazy("explain", "tools.explain.command:explain",
         "Show what would become of a call, or with --call-id what became of one: trace, carriers, prices, funds."),
    Lazy("replay", "tools.replay.command:replay_calls",
         "Decide recent calls under two configurations, and tell which come out otherwise: verdict, "
         "carrier, price, cost."),
    Lazy("lint-routes", "tools.lint_routes.command:lint_routes",
         "Look for rules that never count, sold, emergency and ported numbers that nobody takes, "
         "losses, price gaps, ends."),
    Lazy("recover", "tools.recover:recover",
         "Show the rebuild of the money in Redis that is under way, or the last one (DATABASE_URL, REDIS_URL)."),
    Lazy("audit", "tools.audit:audit",
         "Show changes of configuration, newest first: of the acting account and of all accounts that it sees."),
    Lazy("stack", "tools.stack.command:app", "The private stack: Postgres, Redis, sync, settle, Kamailio."),
    Lazy("settle", "tools.settle.command:app", "Settlement of calls."),
    Lazy("bench", "tools.bench.command:app", "Figures as ratios measured in one run on this machine."),
    Lazy("noc", "tools.noc:noc", "Ask and steer running nodes."),
    Lazy("top", "tools.top.command:top",
         "Show what nodes do now: calls, refusals, carriers, holds, age of the configuration; q or Ctrl-C ends it."),
    Lazy("account", "tools.account.command:app",
         "Accounts: their life and rights, payments outside of calls, limits, locks, alerts."),
    Lazy("carrier", "tools.carrier:carrier", "Carriers: what we owe them, payments to them, caps, names."),
    Lazy("exchange", "tools.exchange:exchange", "Exchange rates between currencies."),
    Lazy("rewrite", "tools.national.command:rewrite", "Rewrite sets: how numbers are dialled and sent."),
    Lazy("import", "tools.imports.command:imports", "Price lists, routes and numbers from files, and their undo."),
    Lazy("tariff", "tools.tenant.command:GROUPS",
         "Price lists: what an account charges those below it, or what a carrier charges the account."),
    Lazy("contact", "tools.tenant.command:GROUPS", "Whom invoices and notices go to."),
    Lazy("rewrite-set", "tools.tenant.command:GROUPS", "Sets of rules for numbers as dialled and as sent."),
    Lazy("time-set", "tools.tenant.command:GROUPS",
         "Times at which something holds: open days, else not on shut days, else within the week's hours."),
    Lazy("barring", "tools.tenant.command:GROUPS", "Levels of what may not be called."),
    Lazy("reply", "tools.tenant.command:GROUPS",
         "SIP answers of one's own for reasons of refusals; the nearest account above counts."),
    Lazy("domain", "tools.tenant.command:GROUPS", "SIP domains with the defaults of their subscribers."),
    Lazy("subscriber", "tools.tenant.command:GROUPS", "SIP lines and trunks, named USER@DOMAIN."),
    Lazy("trusted", "tools.tenant.command:GROUPS", "Networks from which calls are a subscriber's without a password."),
    Lazy("user", "tools.tenant.command:GROUPS", "People: calling one rings all its lines at once."),
    Lazy("group", "tools.tenant.command:GROUPS", "Groups of lines and users that are called together or in turn."),
    Lazy("callflow", "tools.tenant.command:GROUPS", "Steps that a call goes through: what they say and nothing else."),
    Lazy("extension", "tools.tenant.command:GROUPS", "What lines of the account reach by a few digits or a word."),
    Lazy("media-server", "tools.tenant.command:GROUPS",
         "Where announcements and voicemail boxes live; usable by all accounts below."),
    Lazy("number", "tools.tenant.command:GROUPS",
         "Numbers that are called, and what they reach: a subscriber, a user, a group, a callflow or a media server."),
    Lazy("peering", "tools.tenant.command:GROUPS", "Carriers: groups of servers that take the same calls."),
    Lazy("contract", "tools.tenant.command:GROUPS",
         "By what an account pays its parent, or a carrier is paid: tariff, currency, contact."),
    Lazy("report", "tools.report.command:report", "Calls, margins, traffic and balances, as you may see them."),
)  # fmt: skip
"""Every sub-command in the order of the help: its name, where it stands, what it is for."""

app = typer.Typer(
    name="tandem",
    cls=Tandem,
    help="Tools of the Tandem SIP router; those that need a stack take it from the environment, else from RUN_DIR.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a plain trace in a log; locals would show passwords
)
app.callback()(tandem)
mount(app, COMMANDS)

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
