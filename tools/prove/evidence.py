"""Gathers what is compared in the end: from the clients' files, from Postgres, from Redis."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import psycopg

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Balance
from tools.prove import journal
from tools.prove.journal import Answer, Intent
from tools.prove.servers import GRACE_S, Servers
from tools.prove.verdict import FundFacts, Record
from tools.prove.world import ACCOUNTS, MICROS, Places

PAGE: Final = 1_000

_PAID: Final = """
select rid, account_id || ':' || currency, -sum(amount_micros)::bigint from tandem.ledger_entry
 where book = 'fund' and rid is not null group by 1, 2
"""

_POSTED: Final = """
select account_id || ':' || currency,
       coalesce(-sum(amount_micros) filter (where origin = 'redis'), 0)::bigint,
       count(*) filter (where origin = 'redis'),
       coalesce(sum(amount_micros) filter (where origin = 'pg'), 0)::bigint,
       coalesce(sum(amount_micros) filter (where origin = 'pg' and rid is not null), 0)::bigint
  from tandem.ledger_entry where book = 'fund' group by 1
"""


def lines(folder: Path) -> Iterator[Intent | Answer]:
    """Yield all lines of all clients; those of one slot in the order of their time."""
    for path in sorted(folder.glob("client-*"), key=lambda each: int(each.name.rpartition(".")[2])):
        yield from journal.read(path)


def records(connection: psycopg.Connection[Any]) -> dict[str, Record]:
    """Return rid -> what its call record says."""
    rows = connection.execute("select rid, outcome, seq, is_late from tandem.cdr")
    return {rid: Record(*fields) for rid, *fields in rows}


def paid(connection: psycopg.Connection[Any]) -> dict[str, dict[str, int]]:
    """Return rid -> fund -> what the ledger took for the call."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for rid, fund, micros in connection.execute(_PAID):
        if micros:
            found[rid][fund] = micros
    return found


def funds(
    connection: psycopg.Connection[Any], client: RedisClient, places: Places, committed: Mapping[str, int]
) -> dict[str, FundFacts]:
    """Return fund -> all that is known of it. committed: account name -> micros that the office booked."""
    names = {places.fund(each.name): each for each in ACCOUNTS}
    posted = {fund: sums for fund, *sums in connection.execute(_POSTED)}
    credits_ = dict(
        connection.execute("select account_id || ':' || currency, cred_micros from tandem.fund_credit").fetchall()
    )
    balances = {each.fund: each for each in Funds(client, "prove", GRACE_S).balances(list(names))}
    found = {}
    for fund, account in names.items():
        charged, events, in_ledger, late = posted.get(fund, (0, 0, 0, 0))
        balance = balances[fund]
        found[fund] = FundFacts(
            charged_redis=balance.charged_micros,
            charged_posted=charged,
            n_redis=balance.n,
            n_posted=events,
            missing=_missing(connection, fund, balance.n) if balance.n != events else (),
            cred_redis=_credit(balance),
            cred_postgres=credits_[fund],
            cred_ledger=in_ledger,
            cred_late=late,
            booked=account.opening * MICROS + committed.get(account.name, 0),
            held=balance.held_micros,
            channels=balance.channels,
        )
    return found


def open_rids(client: RedisClient) -> list[str]:
    """Return the reservations that are open, and the leases that stand alone."""
    funds = Funds(client, "prove", GRACE_S)
    found = {rid.decode() for rid in client.execute("ZRANGE", keys.LEASES, 0, -1)}
    after = ""
    while True:
        page = funds.of_node("", after, PAGE)
        found.update(page.rids)
        after = page.after
        if not after:
            return sorted(found)


def differences(servers: Servers) -> list[str]:
    """Return what `tandem settle --verify` says."""
    report = json.loads(servers.tandem("settle", "--verify", "--json", may_fail=True) or "{}")
    return list(report.get("differences", ["it printed nothing"]))


def _missing(connection: psycopg.Connection[Any], fund: str, n: int) -> tuple[int, ...]:
    """Return the event numbers up to `n` that the ledger has not."""
    account_id, _, currency = fund.partition(":")
    rows = connection.execute(
        "select number from generate_series(1, %s) as number where not exists (select from tandem.ledger_entry e"
        " where e.account_id = %s and e.currency = %s and e.book = 'fund' and e.fund_n = number)",
        (n, int(account_id), currency),
    )
    return tuple(number for (number,) in rows)


def _credit(balance: Balance) -> int:
    return balance.terms.cred_micros if balance.terms else 0
