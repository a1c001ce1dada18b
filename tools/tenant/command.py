"""The commands of tenants' resources: `tandem subscriber list`, `tandem peering server add` … from the catalogue."""

from __future__ import annotations

from typing import Final

import typer

from tools.tenant.catalogue import RESOURCES, resource
from tools.tenant.commands import command, group
from tools.tenant.model import ACCOUNT, Resource
from tools.tenant.rates import price, prices
from tools.tenant.registrations import registrations
from tools.tenant.secrets import login, move, passwd

# tools/account mounts what is more than rows: its accounts have money, and their thresholds alerts.
ELSEWHERE: Final = frozenset({"account", "threshold"})
CONTRACT: Final = "contract"


def groups() -> dict[str, typer.Typer]:
    """Return the top words of the command line with the commands below them."""
    found: dict[tuple[str, ...], typer.Typer] = {}
    for each in RESOURCES:
        if each.name not in ELSEWHERE:
            found[each.words] = group(each)
            if len(each.words) > 1:
                found[each.words[:-1]].add_typer(found[each.words])
    found["tariff",].command("prices")(prices)
    found["tariff",].command("price")(price)
    found["subscriber",].command("passwd")(passwd)
    found["subscriber",].command("move")(move)
    found["subscriber",].command("registrations")(registrations)
    found["peering", "server"].command("login")(login)
    return {words[0]: app for words, app in found.items() if len(words) == 1} | {CONTRACT: _contracts()}


def _contracts() -> typer.Typer:
    """Return what stands between an account, or a carrier, and who bills it: a contact, a tariff, a currency."""
    help_ = "By what an account pays its parent, or a carrier is paid: tariff, currency, contact."
    app = typer.Typer(name=CONTRACT, no_args_is_help=True, help=help_)
    for verb in ("list", "show", "set"):
        app.command(verb)(command(_contract(resource(ACCOUNT), "contract"), verb))
    carrier = _contract(resource("peering"), "carrier contract")._replace(
        words=(CONTRACT, "carrier"), help="By what carriers are paid: deck and contact."
    )
    app.add_typer(group(carrier, ("list", "show", "set")))
    return app


def _contract(of: Resource, noun: str) -> Resource:
    """Return a resource with the fields of a contract only."""
    fields = [each for each in of.fields if each.name in {"name", "tariff", "currency", "contact"}]
    kept = [each._replace(fixed=each.name == "name", listed=True) for each in fields]
    return of._replace(words=(CONTRACT,), section="contracts", fields=tuple(kept), noun=noun)


GROUPS: Final = groups()
"""Top word of the command line -> its commands."""
