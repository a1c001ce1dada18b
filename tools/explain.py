"""`tandem explain`: why a call goes, or went, the way it does."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from tools.errors import OperatorError, not_set
from tools.explain_data import as_data
from tools.explain_past import past_calls, past_data, show_past
from tools.explain_request import NOWHERE, Question, moment_ms, origin
from tools.explain_secret import node_secret
from tools.explain_show import show
from tools.explain_whatif import answer, subscriber_of
from tools.node_limits import node_limits

TIMEOUT_MS = 2_000


def explain(  # noqa: PLR0913  one parameter per option
    *,
    caller: Annotated[str, typer.Argument(help="The same as --from.")] = "",
    callee: Annotated[str, typer.Argument(help="The same as --to.")] = "",
    from_: Annotated[
        str, typer.Option("--from", help="Who calls: a number, user@domain, or the URI of the From.")
    ] = "",
    to: Annotated[str, typer.Option("--to", help="Number or URI as dialled.")] = "",
    subscriber: Annotated[str, typer.Option(help="user@domain that sends it, authenticated by digest.")] = "",
    account: Annotated[int, typer.Option(help="Take this account's first active subscriber.")] = 0,
    source: Annotated[
        str, typer.Option(help="Where it comes from: ip[:port]/transport of a peer or a trusted one.")
    ] = "",
    at: Annotated[str, typer.Option(help="When: 2026-12-24T18:00, UTC unless it says +01:00; now by default.")] = "",
    call_id: Annotated[str, typer.Option(help="Explain this past call instead.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what would become of a call, or with --call-id what became of one: trace, carriers, prices, funds.

    It is decided by the code and the tables of the live nodes; nothing is held, sent or written. What a node remembers
    of servers that failed lately is not looked at. Where carriers are equal the order is drawn, call by call. --at
    moves the clock, not the tables: prices and rules that were over before now may be gone from them.
    """
    if call_id:
        past = past_calls(_address("DATABASE_URL"), call_id)
        if as_json:
            typer.echo(json.dumps(past_data(past), default=str))
        else:
            show_past(past)
        return
    from_, to = from_ or caller, to or callee
    if not to or not (from_ or subscriber or account):
        raise OperatorError("name --from and --to with --subscriber or --source, or a past call with --call-id")
    client = RedisClient(_address("REDIS_URL"), TIMEOUT_MS)
    try:
        question = Question(
            caller=from_,
            callee=to,
            subscriber=subscriber or (subscriber_of(client, account) if account else ""),
            origin=origin(source) if source else NOWHERE,
            at_ms=moment_ms(at) if at else 0,
            secret=node_secret(os.environ),
        )
        found = answer(client, question, node_limits(os.environ))
    except StoreUnavailable as error:
        raise OperatorError(f"Redis does not do its part: {error}") from error
    finally:
        client.close()
    if as_json:
        typer.echo(json.dumps(as_data(found)))
    else:
        show(found)


def _address(name: str) -> str:
    if not os.environ.get(name):
        raise not_set(name)
    return os.environ[name]
