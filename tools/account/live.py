"""What calls in progress hold of an account, as Redis has it now."""

from __future__ import annotations

from typing import Any, Final

from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Balance, Funds
from tools.account.amounts import UNLIMITED
from tools.account.find import Account

TIMEOUT_MS: Final = 2_000


def live(redis_url: str, account: Account) -> dict[str, Any]:
    """Return the account's fund in Redis as programs read it; {"error": why} where that is not to be had."""
    client = RedisClient(redis_url, TIMEOUT_MS)
    try:
        (balance,) = Funds(client, "tool", 0).balances([account.fund])
    except StoreUnavailable as error:
        return {"error": f"Redis does not answer: {error}"}
    finally:
        client.close()
    return as_dict(account, balance)


def as_dict(account: Account, balance: Balance) -> dict[str, Any]:
    """Return a balance as programs read it. available: what a call may still ask for."""
    terms = balance.terms
    if terms is None:
        return {"error": f"Redis knows no fund {balance.fund}; is tandem sync running?"}
    free = terms.cred_micros - balance.charged_micros - balance.held_micros + terms.credit_limit_micros
    row: dict[str, Any] = {
        "available": UNLIMITED if terms.credit_limit_micros < 0 else account.amount(free),
        "held": account.amount(balance.held_micros),
        "credited": account.amount(terms.cred_micros),
        "charged": account.amount(balance.charged_micros),
        "channels": balance.channels,
        "channels_in": balance.channels_in,
        "channels_out": balance.channels_out,
    }
    if balance.day_id:
        row[f"spent_{balance.day_id}"] = account.amount(balance.day_spent_micros)
    if balance.month_id:
        row[f"spent_{balance.month_id}"] = account.amount(balance.month_spent_micros)
    return row
