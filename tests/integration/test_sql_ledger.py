"""Money in Postgres: double entry, one writer per sum, and posting twice changes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
import pytest

from tests.fix_postgres import Database

ALPHA, NORTH = 5, 2
OPENING = 20_000_000
TXN, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
Entry = tuple[int, str, int, int | None]


def _post(connection: psycopg.Connection[Any], rid: str, entries: Iterable[Entry], seq: int = 1) -> int:
    """Post a call's entries (account, book, amount, fund_n) as settle does; return how many were new."""
    rows = [
        (uuid.uuid5(uuid.NAMESPACE_OID, f"{rid}:{level}:{seq}:{book}"), uuid.uuid5(uuid.NAMESPACE_OID, f"{rid}:{seq}"),
         account, book, amount, rid, level, seq, fund_n)
        for level, (account, book, amount, fund_n) in enumerate(entries, 1)
    ]  # fmt: skip
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "insert into tandem.ledger_entry"
            "(id, txn_id, account_id, book, currency, amount_micros, origin, rid, level, seq, epoch, fund_n)"
            " values (%s, %s, %s, %s, 'EUR', %s, 'redis', %s, %s, %s, 1, %s) on conflict do nothing",
            rows,
        )
        return cursor.rowcount


def _credit(database: Database, account: int = ALPHA) -> tuple[int, int]:
    ((micros, version),) = database.run(
        "select cred_micros, cver from tandem.fund_credit where account_id = %s", account
    )
    return micros, version


def test_topup(demo: Database) -> None:
    """A top-up is two entries that sum to zero, and moves the fund's sum and version."""
    txn = demo.one("select tandem.topup_v1(%s, 1500000, 'cheque 12', 'ann')", ALPHA)
    assert _credit(demo) == (OPENING + 1_500_000, 2)
    assert demo.run(
        "select account_id, book, currency, amount_micros, origin, note, actor from tandem.ledger_entry"
        " where txn_id = %s order by book desc",
        txn,
    ) == [
        (ALPHA, "fund", "EUR", 1_500_000, "pg", "cheque 12", "ann"),
        (NORTH, "cash", "EUR", -1_500_000, "pg", "cheque 12", "ann"),
    ]


def test_topup_is_idempotent_by_request(demo: Database) -> None:
    """The same request again returns the same transaction; with another amount it is refused."""
    query = "select tandem.topup_v1(%s, 7, 'note', 'ann', 'req-1')"
    assert demo.one(query, ALPHA) == demo.one(query, ALPHA)
    assert _credit(demo) == (OPENING + 7, 2)
    assert "request 'req-1' moved 0.000007 EUR before, not 0.000008 EUR as a topup" in demo.refused(
        "select tandem.topup_v1(%s, 8, 'note', 'ann', 'req-1')", ALPHA
    )
    assert demo.one("select tandem.topup_v1(%s, 7, 'note', 'ann', 'req-1')", NORTH)


def test_debit(demo: Database) -> None:
    """Money can be taken back, also below zero: what may be spent is decided by the hold, not here."""
    demo.run("select tandem.topup_v1(%s, -30000000, 'refund', 'ann')", ALPHA)
    assert _credit(demo) == (-10_000_000, 2)


def test_topups_at_the_same_moment(demo_database: Database) -> None:
    """No top-up of several at once is lost, and none is counted twice."""

    def topup(amount: int) -> None:
        with demo_database.connect() as connection:
            for _ in range(10):
                connection.execute("select tandem.topup_v1(%s, %s, 'note', 'ann')", (ALPHA, amount))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(topup, (1, 10, 100, 1000)))
    assert _credit(demo_database) == (OPENING + 11_110, 41)


def test_what_redis_charged_leaves_the_credit_alone(demo: Database) -> None:
    """Each entry counts in exactly one sum: origin redis in charged, origin pg in cred."""
    assert _post(demo.connection, "r1", [(ALPHA, "fund", -500, 1), (NORTH, "income", 500, None)]) == 2
    assert _credit(demo) == (OPENING, 1)
    assert demo.run(
        "select cred_micros, charged_micros, balance_micros from tandem.fund_balance where account_id = %s", ALPHA
    ) == [(OPENING, 500, OPENING - 500)]


def test_what_calls_charged_is_summed_up(demo: Database) -> None:
    """Per fund: the sum, the highest event number and how many events, whatever their order; again changes nothing."""
    for rid, number in (("r2", 2), ("r5", 5), ("r1", 1), ("r5", 5)):
        _post(demo.connection, rid, [(ALPHA, "fund", -100, number), (NORTH, "income", 100, None)])
    sums = "select charged_micros, n, events from tandem.fund_charge where account_id = %s"
    assert demo.run(sums, ALPHA) == [(300, 5, 3)]
    assert demo.run(sums, NORTH) == [(0, 0, 0)]
    assert demo.run(
        "select -sum(amount_micros)::bigint, max(fund_n), count(*) from tandem.ledger_entry"
        " where account_id = %s and book = 'fund' and origin = 'redis'",
        ALPHA,
    ) == [(300, 5, 3)]


def test_a_call_that_was_open_when_its_account_was_closed(demo: Database) -> None:
    """It is posted like any other: only payments ask whether the account is closed."""
    demo.run("update tandem.account set status = 'closed' where id = %s", ALPHA)
    assert _post(demo.connection, "r1", [(ALPHA, "fund", -500, 1), (NORTH, "income", 500, None)]) == 2
    assert demo.one("select charged_micros from tandem.fund_charge where account_id = %s", ALPHA) == 500


def test_what_was_talked_is_posted(demo: Database) -> None:
    """The bound of an amount is none of the sum: no call is refused because many came before it."""
    for number in (1, 2, 3):
        _post(demo.connection, f"r{number}", [(ALPHA, "fund", -(2**50), number), (NORTH, "income", 2**50, None)])
    assert demo.one("select charged_micros from tandem.fund_charge where account_id = %s", ALPHA) == 3 * 2**50


_BATCH: Final = """
insert into tandem.ledger_entry(
  id, txn_id, account_id, book, currency, amount_micros, origin, rid, level, seq, epoch, fund_n)
select gen_random_uuid(), md5(rid)::uuid, account, book, 'EUR', micros, 'redis', rid, level, 1, 1,
       case book when 'fund' then n end
  from unnest(%s::bigint[], %s::bigint[], %s::integer[]) with ordinality as leg(payer, payee, n, level)
 cross join lateral (values (payer, 'fund', -n), (payee, 'income', n)) as e(account, book, micros)
 cross join lateral (select 'r' || n as rid) as r
"""


def test_calls_posted_at_the_same_moment(demo_database: Database) -> None:
    """Batches that touch the same funds, named in any order, neither lose a charge nor lock each other out."""

    def post(worker: int) -> None:
        funds = [(2, 1), (4, 2), (5, 2), (6, 4)]
        with demo_database.connect() as connection:
            for number in range(10):
                event = worker * 10 + number + 1
                rows = [(payer, payee, event) for payer, payee in (funds if worker % 2 else funds[::-1])]
                connection.execute(_BATCH, [list(column) for column in zip(*rows, strict=True)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(post, range(4)))
    assert (
        demo_database.run("select charged_micros, n, events from tandem.fund_charge where account_id in (2, 4, 5, 6)")
        == [(820, 40, 40)] * 4
    )


def test_an_exchange(demo: Database) -> None:
    """A leg in two currencies sums to zero in each: what the payer's currency buys, what the tariff's is sold for."""
    demo.run("insert into tandem.fund(account_id, currency) values (5, 'USD')")
    leg = (
        "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, rid, level,"
        " seq, epoch, fund_n) select gen_random_uuid(), md5('t')::uuid, account, book, currency, micros, 'redis', 'r',"
        " 1, 1, 1, n from (values (5, 'fund', 'USD', -110, 1), (2, 'fx_bought', 'USD', 110, null),"
        " (2, 'fx_sold', 'EUR', -100, null), (2, 'income', 'EUR', %s, null)) as v(account, book, currency, micros, n)"
    )
    assert "does not sum to zero: 1 micros EUR are left over" in demo.refused(leg, 101)
    demo.run(leg, 100)
    assert demo.run("select currency, charged_micros from tandem.fund_charge where account_id = 5 order by 1") == [
        ("EUR", 0),
        ("USD", 110),
    ]


def test_posting_again_changes_nothing(demo: Database) -> None:
    """A call posted twice is posted once."""
    entries: list[Entry] = [(ALPHA, "fund", -500, 1), (NORTH, "income", 500, None)]
    assert _post(demo.connection, "r1", entries) == 2
    assert _post(demo.connection, "r1", entries) == 0
    assert demo.one("select count(*) from tandem.ledger_entry where rid = 'r1'") == 2


def test_a_zero_posting_keeps_the_numbers_gapless(demo: Database) -> None:
    """An event that cost nothing is an entry too."""
    assert _post(demo.connection, "r1", [(ALPHA, "fund", 0, 1), (NORTH, "income", 0, None)]) == 2


def test_one_event_number_once(demo: Database) -> None:
    """Two calls cannot both be event 1 of a fund: without `on conflict` the second one fails."""
    _post(demo.connection, "r1", [(ALPHA, "fund", 0, 1)])
    assert "a_fund_event_is_posted_once" in demo.refused(
        "insert into tandem.ledger_entry select gen_random_uuid(), gen_random_uuid(), account_id, book, currency, 0,"
        " origin, 'r2', level, seq, epoch, fund_n from tandem.ledger_entry where rid = 'r1'"
    )


def test_half_a_transaction(demo_database: Database) -> None:
    """A call whose payee is missing is refused as a whole at commit."""
    with pytest.raises(psycopg.errors.CheckViolation, match="does not sum to zero: -500 micros EUR"):
        _post(demo_database.connection, "r1", [(ALPHA, "fund", -500, 1)])
    assert demo_database.one("select count(*) from tandem.ledger_entry where rid = 'r1'") == 0


def test_balanced_within_one_transaction_only(demo_database: Database) -> None:
    """The two halves may come in two statements: what counts is the state at commit."""
    txn, insert = (
        uuid.uuid4(),
        "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)",
    )
    with demo_database.connection.transaction():
        for account, book, amount in ((ALPHA, "fund", 5), (NORTH, "cash", -5)):
            demo_database.connection.execute(
                f"{insert} values (gen_random_uuid(), %s, %s, %s, 'EUR', %s, 'pg')".encode(),
                (txn, account, book, amount),
            )
    assert _credit(demo_database) == (OPENING + 5, 2)


_HALF: Final = (
    "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)"
    " values (gen_random_uuid(), %s, %s, 'cash', %s, %s, 'pg')"
)


def _halves(database: Database, *halves: tuple[uuid.UUID, str, int]) -> None:
    with database.connection.transaction():
        for txn, currency, micros in halves:
            database.run(_HALF, txn, NORTH, currency, micros)


def test_nothing_stays_noted(demo_database: Database) -> None:
    """A transaction in parts is proven at commit and forgotten; one in a single statement is never noted."""
    _halves(demo_database, *((TXN, "EUR", micros) for micros in (5, -7, 2)))
    assert demo_database.one("select count(*) from tandem.ledger_unbalanced") == 0
    with demo_database.connection.transaction():
        demo_database.run("select tandem.topup_v1(%s, 7, 'note', 'ann')", ALPHA)
        assert demo_database.one("select count(*) from tandem.ledger_unbalanced") == 0


@pytest.mark.parametrize(
    "halves",
    [
        [(TXN, "EUR", 5)],
        [(TXN, "EUR", 5), (TXN, "USD", -5)],
        [(TXN, "EUR", 5), (OTHER, "EUR", -5)],
        [(TXN, "EUR", 5), (TXN, "EUR", -4)],
        [(TXN, "EUR", 5), (TXN, "EUR", -5), (OTHER, "EUR", 1)],
        [(TXN, "EUR", 2**50), (TXN, "EUR", 2**50), (TXN, "EUR", -(2**50))],
    ],
)
def test_what_is_left_over_is_refused(demo_database: Database, halves: list[tuple[uuid.UUID, str, int]]) -> None:
    """However the statements divide it: in another currency, under another id, by a micro."""
    with pytest.raises(psycopg.errors.CheckViolation, match="does not sum to zero"):
        _halves(demo_database, *halves)
    assert demo_database.one("select count(*) from tandem.ledger_entry where note = ''") == 0


def test_nothing_is_added_to_a_transaction_that_stands(demo_database: Database) -> None:
    """A whole transaction that gets one more entry, in a later commit, is refused as a whole."""
    txn = demo_database.one("select tandem.topup_v1(%s, 7, 'note', 'ann')", ALPHA)
    with pytest.raises(psycopg.errors.CheckViolation, match="does not sum to zero: 1 micros EUR"):
        _halves(demo_database, (txn, "EUR", 1))
    _halves(demo_database, (txn, "EUR", 1), (txn, "EUR", -1))


@pytest.mark.parametrize("missing", range(4))
def test_half_of_a_batch(demo_database: Database, missing: int) -> None:
    """Of two calls in one statement one entry is lacking: the statement's sums show it, whichever it is."""
    rows = [(1, ALPHA, "fund", -5), (1, NORTH, "income", 5), (2, ALPHA, "fund", -5), (2, NORTH, "income", 5)]
    kept = [row for place, row in enumerate(rows) if place != missing]
    with pytest.raises(psycopg.errors.CheckViolation, match="does not sum to zero"):
        demo_database.run(
            "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)"
            " select gen_random_uuid(), md5(txn::text)::uuid, account, book, 'EUR', micros, 'pg'"
            " from unnest(%s::int[], %s::bigint[], %s::text[], %s::bigint[]) as v(txn, account, book, micros)",
            *map(list, zip(*kept, strict=True)),
        )


def test_posting_ids_are_name_based_uuids(demo: Database) -> None:
    """The same name gives the same id, another name another one; version and variant are set as RFC 4122 says."""
    first, again, other = (uuid.UUID(str(demo.one("select tandem.posting_id_v1(%s)", name))) for name in "aab")
    assert first == again != other
    assert (first.version, first.variant) == (3, uuid.RFC_4122)
