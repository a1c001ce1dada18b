"""The sub-commands of `tandem account`."""

from __future__ import annotations

import typer

from tools.account.alerts import alerts
from tools.account.entries import entries, statement
from tools.account.life import close, move, remove, resume, suspend
from tools.account.limits import limit
from tools.account.locks import lock, unlock
from tools.account.margin import margin
from tools.account.options import SIGNED
from tools.account.payments import adjust, credit, debit, reverse, topup
from tools.account.rights import grant, revoke, rights
from tools.account.show import list_accounts, show
from tools.account.thresholds import threshold
from tools.tenant.catalogue import resource
from tools.tenant.commands import command

app = typer.Typer(
    no_args_is_help=True, help="Accounts: their life and rights, payments outside of calls, limits, locks, alerts."
)
app.command("list")(list_accounts)
app.command()(show)
app.command()(entries)
app.command()(statement)
app.command()(margin)
app.command(context_settings=SIGNED)(topup)
app.command(context_settings=SIGNED)(credit)
app.command(context_settings=SIGNED)(debit)
app.command(context_settings=SIGNED)(adjust)
app.command()(reverse)
app.command()(limit)
app.command()(lock)
app.command()(unlock)
app.command()(alerts)
for verb in ("add", "set"):
    app.command(verb)(command(resource("account"), verb))
app.command()(move)
app.command()(suspend)
app.command()(resume)
app.command()(close)
app.command()(remove)
app.command()(grant)
app.command()(revoke)
app.command()(rights)
app.add_typer(threshold, name="threshold")
