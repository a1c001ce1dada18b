"""`tandem explain`: why a call goes, or went, the way it does."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from typing import Annotated

import typer

from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from tools.account.options import As
from tools.errors import OperatorError, not_set
from tools.explain.data import as_data
from tools.explain.past import no_call, past_calls, past_data, show_past
from tools.explain.redact import redacted_answer, redacted_past
from tools.explain.request import NOWHERE, Question, moment_ms, origin
from tools.explain.secret import node_secret
from tools.explain.show import show
from tools.explain.sight import Sight
from tools.explain.whatif import Answer, answer, subscriber_of
from tools.node_limits import node_limits
from tools.session import not_there, session

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
    as_account: As = "",
) -> None:
    """Show what would become of a call, or with --call-id what became of one: trace, carriers, prices, funds.

    It is decided by the code and the tables of the live nodes; nothing is held, sent or written. What a node remembers
    of servers that failed lately is not looked at. Where carriers are equal the order is drawn, call by call. --at
    moves the clock, not the tables: prices and rules that were over before now may be gone from them.

    With --as an account reads what it may know: calls of the lines that it sees, its own prices and those directly
    below it, its own carriers. What stands above it and beside it is left out.
    """
    if call_id:
        _explain_past(call_id, as_account, as_json=as_json)
        return
    from_, to = from_ or caller, to or callee
    if not to or not (from_ or subscriber or account):
        raise OperatorError("name --from and --to with --subscriber or --source, or a past call with --call-id")
    asked = Question(
        caller=from_,
        callee=to,
        subscriber=subscriber,
        origin=origin(source) if source else NOWHERE,
        at_ms=moment_ms(at) if at else 0,
        secret=node_secret(os.environ),
    )
    with ExitStack() as stack:
        sight = _sight(stack, as_account)
        client = RedisClient(_address("REDIS_URL"), TIMEOUT_MS)
        stack.callback(client.close)
        found = _answered(client, asked, account, sight)
    if as_json:
        typer.echo(json.dumps(as_data(found)))
    else:
        show(found)


def _answered(client: RedisClient, asked: Question, account_id: int, sight: Sight | None) -> Answer:
    """Return what would become of the call, as the reader may know it. Raises OperatorError."""
    try:
        if account_id and not asked.subscriber:
            if sight is not None and not sight.sees_account(account_id):
                raise not_there("account", str(account_id))
            asked = asked._replace(subscriber=subscriber_of(client, account_id))
        if sight is None:
            return answer(client, asked, node_limits(os.environ))
        _check_caller(asked, sight)
        found = redacted_answer(answer(client, asked, node_limits(os.environ)), sight, line=asked.line)
    except StoreUnavailable as error:
        raise OperatorError(f"Redis does not do its part: {error}") from error
    if found is None:
        raise OperatorError("from: whoever calls so is none of your lines; name one of them with --subscriber")
    return found


def _check_caller(asked: Question, sight: Sight) -> None:
    """Raise OperatorError for another one's line or address: the answer would tell that it is somebody's."""
    if asked.line and not sight.sees_line(asked.line):
        raise not_there("subscriber", asked.line)
    if asked.origin != NOWHERE and not sight.owns_address(asked.origin.ip):
        raise OperatorError(f"source: {asked.origin.ip} is none of your trusted sources, nor of your carriers")


def _explain_past(call_id: str, as_account: str, *, as_json: bool) -> None:
    address = _address("DATABASE_URL")
    with ExitStack() as stack:
        sight = _sight(stack, as_account)
        past = past_calls(address, call_id)
        if sight is not None:
            told = (redacted_past(each, sight.then(each.call.started_at)) for each in past)
            past = [each for each in told if each is not None]
        if not past:
            raise no_call(call_id)
    if as_json:
        typer.echo(json.dumps(past_data(past), default=str))
    else:
        show_past(past)


def _sight(stack: ExitStack, as_account: str) -> Sight | None:
    """Return what an account sees; None for the root, from which nothing is hidden. Raises OperatorError."""
    if not as_account:
        return None
    reader = stack.enter_context(session(_address("DATABASE_URL"), as_account=as_account, program="tandem explain"))
    return None if reader.is_root else Sight(reader)


def _address(name: str) -> str:
    if not os.environ.get(name):
        raise not_set(name)
    return os.environ[name]
