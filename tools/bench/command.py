"""The sub-commands of `tandem bench`."""

from __future__ import annotations

import typer

from tools.bench.calls.command import calls
from tools.bench.money import money
from tools.bench.relay import relay

app = typer.Typer(no_args_is_help=True, help="Figures as ratios measured in one run on this machine.")
app.command()(relay)
app.command()(money)
app.command()(calls)
