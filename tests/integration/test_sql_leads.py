"""What leads calls on: writers of one account are judged one after the other, those of several wait for nobody else.

And places of calls beside carriers, and whose emergency numbers count.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg
import pytest

from tests.fix_postgres import Database
from tests.locks import held, until_one_waits

USERS: Final = b"select world.user('Eva', 'Alpha'), world.user('Bob', 'Alpha'), world.user('Kim', 'Alpha')"
EVA: Final = b"select world.forward('user:Eva', 'busy', 'user:Bob')"
BOB: Final = b"select world.forward('user:Bob', 'busy', 'user:Eva')"
JUDGED: Final = b"set constraints all immediate"
# Reseller South's customer, whose id is that of North's Alpha and 256.
TWIN: Final = b"""
select setval(pg_get_serial_sequence('tandem.account', 'id'), id + 255) from tandem.account where name = 'Alpha';
insert into tandem.account(kind, name, parent_id, tariff_id, currency)
select 'customer', 'Twin', a.parent_id, a.tariff_id, a.currency from tandem.account a where a.name = 'Delta';
select world.user('Tim', 'Twin'), world.user('Tom', 'Twin')
"""
TIM: Final = b"select world.forward('user:Tim', 'busy', 'user:Tom')"
AT_ONCE: Final = b"set local lock_timeout = '50ms'"  # whoever waits fails
ALWAYS_AT_ONCE: Final = b"set lock_timeout = '50ms'"
MEDIA: Final = (
    b"insert into tandem.media_server(account_id, name, address)"
    b" select a.id, 'm', %s::inet from tandem.account a where a.name = %s"
)
CARRIER: Final = b"select world.server('acme', 'late', '203.0.113.200', 5060)"


def test_two_transactions_at_once_build_no_circle(demo_database: Database) -> None:
    """The second one waits until the first has ended, and is judged by what there is then."""
    demo_database.run(USERS)
    with ThreadPoolExecutor(1) as pool, demo_database.connect() as other, held(demo_database, EVA) as first:
        first.execute(JUDGED)
        with other.transaction():
            other.execute(BOB)
            judged = pool.submit(other.execute, JUDGED)
            until_one_waits(demo_database)
            first.commit()
            with pytest.raises(psycopg.errors.CheckViolation, match="user 'Bob': its forward busy/1 leads back to it"):
                judged.result()
            raise psycopg.Rollback
    assert demo_database.one("select count(*) from tandem.forward") == 1


def test_who_writes_waits_for_nobody_who_judges(demo_database: Database) -> None:
    """Only what leads on is waited for: rows of the same account are written meanwhile."""
    demo_database.run(USERS)
    with held(demo_database, EVA) as first:
        first.execute(JUDGED)
        demo_database.run("update tandem.user set dnd = true where name = 'Eva'")
        demo_database.run("select world.extension('200', 'Alpha', 'user:Kim')")


def test_accounts_do_not_wait_for_each_other(demo_database: Database) -> None:
    """Whatever their ids are; and neither for one that writes about the account beside it."""
    demo_database.run(USERS)
    demo_database.run(TWIN)
    with held(demo_database, EVA) as first, demo_database.connect() as other:
        first.execute(JUDGED)
        with other.transaction():
            other.execute(AT_ONCE)
            other.execute(TIM)
            other.execute(JUDGED)


def test_who_writes_about_two_accounts_holds_them_in_one_order(demo_database: Database) -> None:
    """Who waits for the first account does not hold the second one yet, whichever it wrote about first."""
    demo_database.run(USERS)
    demo_database.run(TWIN)
    with (
        ThreadPoolExecutor(1) as pool,
        held(demo_database, EVA) as first,
        held(demo_database, TIM) as both,
        demo_database.connect() as other,
    ):
        both.execute(BOB.replace(b"user:Eva", b"user:Kim"))
        first.execute(JUDGED)
        judged = pool.submit(both.execute, JUDGED)
        until_one_waits(demo_database)
        with other.transaction():
            other.execute(AT_ONCE)
            other.execute(b"select world.forward('user:Tom', 'busy', 'user:Tim')")
            other.execute(JUDGED)
            raise psycopg.Rollback
        first.commit()
        judged.result()


def test_a_number_announces_whom_it_is_judged_with(demo_database: Database) -> None:
    """One that nothing leads to announces nothing: numbers come by the hundred thousand."""
    demo_database.run(USERS)
    noted = b"select current_setting('tandem.leads', true)"
    number = b"select world.number('442071234567', 'Alpha', 'user:Bob')"
    with demo_database.connect() as plain, plain.transaction():
        plain.execute(number)
        assert plain.execute(noted).fetchone() == (None,)
        raise psycopg.Rollback
    demo_database.run("select world.forward('user:Eva', 'busy', 'number:442071234567')")
    with demo_database.connect() as led, led.transaction():
        led.execute(number)
        alpha = led.execute("select array[id]::text from tandem.account where name = 'Alpha'").fetchone()
        assert led.execute(noted).fetchone() == alpha


def test_who_writes_about_very_many_accounts_holds_one_lock(demo_database: Database) -> None:
    """The server has room for some thousand locks in all."""
    with demo_database.connect() as many, many.transaction():
        many.execute("select tandem.note_leads(array(select generate_series(1, 1001)::bigint))")
        many.execute("select tandem.hold_leads(5), tandem.hold_leads(2000)")
        locks = many.execute("select objid from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()")
        assert locks.fetchall() == [(0,)]
        with demo_database.connect() as other:
            other.execute(ALWAYS_AT_ONCE)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("select tandem.hold_leads(3)")


def test_places_do_not_wait_for_each_other(demo_database: Database) -> None:
    with held(demo_database, MEDIA, "203.0.113.200", "North") as first, demo_database.connect() as other:
        first.execute(JUDGED)
        with other.transaction():
            other.execute(AT_ONCE)
            other.execute(MEDIA, ("203.0.113.201", "South"))
            other.execute(JUDGED)


def test_a_carrier_that_comes_meanwhile_is_seen_at_the_end(demo_database: Database) -> None:
    """Who has written a place holds nothing before it is judged."""
    with held(demo_database, MEDIA, "203.0.113.200", "North") as place:
        demo_database.run(ALWAYS_AT_ONCE)
        demo_database.run(CARRIER)
        with pytest.raises(psycopg.errors.UniqueViolation, match="is the address of server 'late' of account"):
            place.execute(JUDGED)
        place.rollback()


def test_a_carrier_waits_for_places_that_are_judged(demo_database: Database) -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        held(demo_database, MEDIA, "203.0.113.200", "North") as place,
        demo_database.connect() as other,
    ):
        place.execute(JUDGED)
        carrier = pool.submit(other.execute, CARRIER)
        until_one_waits(demo_database)
        place.commit()
        with pytest.raises(psycopg.errors.UniqueViolation, match="is the address of media server"):
            carrier.result()


def test_a_place_that_went_elsewhere_is_not_in_a_carriers_way(demo_database: Database) -> None:
    """What is judged at the end is what there is at the end."""
    with held(demo_database, MEDIA, "203.0.113.200", "North") as place:
        place.execute("update tandem.media_server set address = '203.0.113.202'")
        demo_database.run(ALWAYS_AT_ONCE)
        demo_database.run(CARRIER)
        place.execute(JUDGED)


def test_emergency_numbers_of_others_are_free_as_extensions(demo_database: Database) -> None:
    """Of another domain, or of a region in which no line of the account is."""
    demo_database.run("select world.emergency('110', '{acme}', domain => 'b.example')")
    demo_database.run("select world.emergency('933', '{acme}', region => 'US')")
    demo_database.run(
        "select world.extension('110', 'Alpha', 'alice@a.example'), world.extension('933', 'Alpha', 'alice@a.example')"
    )
    demo_database.run("select world.emergency('110', '{acme}')")  # one that comes later goes first all the same
    assert demo_database.one("select count(*) from tandem.extension") == 2
