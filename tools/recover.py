"""`tandem recover`: open a Redis again that has lost what it had acknowledged."""

from __future__ import annotations

import os
from typing import Annotated

import psycopg
import typer

from kemi.adapters.redis_client import StoreUnavailable
from tools.errors import OperatorError
from tools.settle.books import EpochMovedError
from tools.settle.command import options_from
from tools.settle.service import connections
from tools.settle.slow import Recovery, Slow


def recover(
    *,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Say that what Redis has lost may stay lost; nothing is done without.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Rebuild the money in Redis from Postgres and from what is left (DATABASE_URL, REDIS_URL), and take calls again.

    For a Redis that was emptied or rolled back: `tandem settle` leaves it closed and says so. Run it while settle and
    sync run. What was lost is kept in tandem.recovery.
    """
    if not accept_loss:
        raise OperatorError(
            "--accept-loss is missing: what was granted in the lost operations may be spent twice;"
            " `tandem settle --verify` shows what differs"
        )
    try:
        with connections(options_from(os.environ)) as parts:
            done = Slow(*parts).recover()
    except (psycopg.Error, StoreUnavailable, EpochMovedError) as error:
        raise OperatorError(f"not recovered, and still closed; run it again: {str(error).strip()}") from error
    _print(done, as_json=as_json)


def _print(done: Recovery, *, as_json: bool) -> None:
    if as_json:
        typer.echo(done.json())
        return
    for fund in done.funds:
        typer.echo(
            f"fund {fund.fund}: charged {fund.charged_before_micros} → {fund.charged_micros} micros,"
            f" holds {fund.held_before_micros} → {fund.held_micros}, {fund.events_lost} events lost"
        )
    typer.echo(
        f"epoch {done.epoch} is armed: at least {done.operations_lost} operations were lost; of the open reservations"
        f" {done.kept} are kept, {done.voided} given up"
    )
    if done.unreadable:
        typer.echo(f"{done.unreadable} calls could not be read: `tandem settle poison list`")
