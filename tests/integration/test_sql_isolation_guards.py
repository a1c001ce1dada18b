"""What a tenant is told it may not, in the demo world; that rows stay apart is proven in tests/isolation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, LiteralString

import psycopg
import pytest

from tests.fix_postgres import Database

ROOT, NORTH, SOUTH, FJORD, ALPHA, BETA, GAMMA = 1, 2, 3, 4, 5, 6, 7
_AS = {"Tandem": ROOT, "North": NORTH, "South": SOUTH, "Fjord": FJORD, "Alpha": ALPHA}
_NOT_ITSELF: Final = "account 2: not for itself, only for accounts below it"
_NEW_ACCOUNT: Final = (
    "insert into tandem.account(kind, name, parent_id, tariff_id, currency)"
    " select 'customer', 'New', {}, min(id), 'EUR' from tandem.tariff where account_id = {} returning id"
)


@contextmanager
def acting(database: Database, account_id: int) -> Iterator[None]:
    """Be a tenant for a while; what it changed stays."""
    with database.connection.transaction():
        database.run("select tandem.act_as_v1(%s, 'a test')", account_id)
        database.run("set local role tandem_tenant")
        yield
        database.run("reset role")


def _refused(database: Database, who: str, statement: LiteralString, *values: object) -> tuple[str, str]:
    """Return the state and the sentence with which a tenant's statement is refused."""
    with pytest.raises(psycopg.Error) as error, acting(database, _AS[who]):
        database.run(statement, *values)
    return error.value.sqlstate or "", error.value.diag.message_primary or ""


@pytest.mark.parametrize(
    ("who", "statement", "said"),
    [
        ("Alpha", "insert into tandem.tariff(account_id, name, currency) values (5, 'mine', 'EUR')", "prices"),
        ("Alpha", "update tandem.tariff set rounding = 'up'", "prices"),
        ("Alpha", "delete from tandem.rate where prefix = '9'", "prices"),
        ("Alpha", "insert into tandem.sip_domain(account_id, name) values (5, 'alpha.example')", "domains"),
        ("Alpha", "insert into tandem.number(account_id, e164) values (5, '442079460099')", "numbers"),
        ("Alpha", "insert into tandem.peering_group(account_id, name, tariff_id) values (5, 'c', 1)", "carriers_own"),
        ("Alpha", "update tandem.account set loss_pct = 5", "routing"),
        ("Alpha", "update tandem.fund set channels_max = 5", "money"),
        ("Alpha", "select tandem.demand('accounts')", "accounts"),
    ],
)
def test_a_right_that_is_not_granted(demo: Database, who: str, statement: LiteralString, said: str) -> None:
    """One sentence for every verb, also where no row would have been touched."""
    assert _refused(demo, who, statement) == ("42501", f"{said}: not granted to account 5 'Alpha'")


def test_renaming_wants_the_right_of_making(demo: Database) -> None:
    """A renamed domain is a new one, another number too; all else of them is changed without."""
    demo.run("delete from tandem.account_grant where account_id = 2 and right_name in ('domains', 'numbers')")
    with acting(demo, NORTH):
        demo.run("update tandem.sip_domain set region = 'x' where account_id = 2")
        demo.run("update tandem.number set account_id = account_id, status = status")
    said = _refused(demo, "North", "update tandem.sip_domain set name = 'new.example' where account_id = 2")
    assert said == ("42501", "domains: not granted to account 2 'North'")
    said = _refused(demo, "North", "update tandem.number set e164 = e164 || '9' where account_id = 5")
    assert said == ("42501", "numbers: not granted to account 2 'North'")


def test_the_own_account(demo: Database) -> None:
    """An account changes of itself what is its own affair, and nothing that those above it say."""
    with acting(demo, NORTH):
        demo.run("update tandem.account set language = 'fr', share_children = true, attempts_max = 3 where id = 2")
    said = _refused(demo, "North", "update tandem.account set name = 'Up' where id = 2")
    assert said == ("42501", "account 2 'Up' does not change its own name: those above it do")
    said = _refused(
        demo, "North", "update tandem.account set barred = '{44}', lock = 'all', language = 'ru' where id = 2"
    )
    assert said == ("42501", "account 2 'North' does not change its own barred, lock: those above it do")


def test_a_new_account(demo: Database) -> None:
    """It is made where one sees it, is seen at once, and its maker gives it a tariff of its parent."""
    with acting(demo, NORTH):
        (made,) = demo.run(_NEW_ACCOUNT.format(2, 2))[0]
        assert demo.one("select name from tandem.account where id = %s", made) == "New"
        assert demo.one("select count(*) from tandem.fund where account_id = %s", made) == 1
    assert _refused(demo, "North", _NEW_ACCOUNT.format(4, 4))[0] == "42501"  # Fjord does not share its accounts
    for parent in (3, 99):
        unseen = _NEW_ACCOUNT.replace("min(id)", "1").format(parent, 2)
        assert _refused(demo, "North", unseen) == ("23503", f"account 'New': its parent {parent} does not exist")


def test_references_are_seen(demo: Database) -> None:
    """Who names a row sees it; a row that exists unseen is refused in the words for one that does not exist."""
    hidden = demo.one("select world.barring('Tandem', 'secret', 'blacklist', '{^1}')")
    for level in (hidden, 99):
        said = _refused(demo, "Alpha", "update tandem.account set own_barring_id = %s where id = 5", level)
        assert said == ("23503", f"barring level {level} does not exist")
    said = _refused(demo, "Alpha", "update tandem.subscriber set sip_domain_id = 2 where username = 'alice'")
    assert said == ("23503", "sip domain 2 does not exist")
    demo.run("select world.bar('Alpha', 'secret')")
    with acting(demo, ALPHA):
        demo.run("update tandem.account set own_barring_id = %s where id = 5", hidden)
        assert demo.run("select pattern from tandem.barring_rule") == [("^1",)]
        assert demo.connection.execute("delete from tandem.barring_rule").rowcount == 0


def test_who_is_in_the_way_is_not_told(demo: Database) -> None:
    """What another tenant has is not available; whose it is the platform alone is told."""
    demo.run("insert into tandem.account_grant(account_id, right_name) values (2, 'carriers_own'), (3, 'carriers_own')")
    demo.run("select world.carrier_of('South', 'theirs', '127.0.1.9', 5080, '44', '0.003')")
    demo.run("select world.carrier_of('North', 'ours', '127.0.1.10', 5080, '44', '0.003')")
    taken = "update tandem.peering_server set address = '127.0.1.9'"
    state, said = _refused(demo, "North", taken)
    assert (state, said.partition(": ")[2]) == (
        "23505", "127.0.1.9/32 is not available; an address belongs to one group only")  # fmt: skip
    demo.run("select world.trusted('carol@b.example', '127.0.2.77', 'udp')")
    trusted = (
        "insert into tandem.trusted_source(subscriber_id, network, transport)"
        " select id, '127.0.2.77/32', 'udp' from tandem.subscriber where username = 'alice'"
    )
    assert _refused(demo, "Alpha", trusted) == (
        "23505",
        "trusted source: network 127.0.2.77/32, transport 'udp' and From pattern '' are not available together",
    )
    assert "of subscriber" in demo.refused(trusted)


def test_a_move_that_would_tear(demo: Database) -> None:
    """What of it stands in the way may be an account's that the mover does not see."""
    demo.run("update tandem.account set share_children = true where id in (2, 4)")
    demo.run("select world.tariff('South', 'dealer', 'EUR', '44', '0.01')")
    demo.run("insert into tandem.account(kind, name, parent_id, tariff_id, currency)"
             " select 'reseller', 'East', 2, min(id), 'EUR' from tandem.tariff where account_id = 2")  # fmt: skip
    demo.run("select world.tariff('East', 'retail', 'EUR', '44', '0.01')")
    demo.run(
        "select world.domain('fjord.example', 'Fjord'), world.subscriber('x@fjord.example', 'Beta', 'x-secret', null)"
    )
    move = (
        "update tandem.account set parent_id = (select id from tandem.account where name = 'East'),"
        " tariff_id = (select t.id from tandem.tariff t join tandem.account a on a.id = t.account_id"
        " where a.name = 'East') where name = 'Beta'"
    )
    demo.run("update tandem.account set share_children = true where name = 'East'")
    state, said = _refused(demo, "North", move)
    assert (state, said.partition(":")[0]) == ("23514", "account 6 'Beta' cannot move")
    assert "fjord" not in said


@pytest.mark.parametrize(
    ("who", "call", "state", "said"),
    [
        ("Alpha", "tandem.move_v1(2, 1, 'topup', 'n', 'a')", "23503", "account 2 does not exist"),
        ("North", "tandem.topup_v1(7, 1, 'n', 'a')", "23503", "account 7 does not exist"),
        ("North", "tandem.topup_v1(99, 1, 'n', 'a')", "23503", "account 99 does not exist"),
        ("North", "tandem.topup_v1(2, 1, 'n', 'a')", "42501", _NOT_ITSELF),
        ("North", "tandem.lock_v1(2, 'none', 'a', 'n')", "42501", _NOT_ITSELF),
        ("North", "tandem.lock_v1(6, 'all', 'a', 'n')", "23503", "account 6 does not exist"),
        ("North", "tandem.pay_carrier_v1(1, 1, 'n', 'a')", "23503", "there is no peering group 1"),
        ("North", "tandem.set_rates_v1(1, '[]')", "23503", "tariff 1 does not exist"),
        ("North", "tandem.edit_rate_set_v1(1, '[]')", "23514", "rate set 1 is not a ready one"),
        ("Alpha", "tandem.edit_rate_set_v1(1, '[]')", "42501", "prices: not granted to account 5 'Alpha'"),
        ("North", "tandem.act_as_v1(3, 'a')", "42501", "permission denied for function act_as_v1"),
    ],
)
def test_functions_with_their_owners_rights(
    demo: Database, who: str, call: LiteralString, state: str, said: str
) -> None:
    """They pass by the policies, so each asks by itself; what does not exist and what is not seen are the same."""
    assert _refused(demo, who, f"select {call}") == (state, said)


def test_functions_with_the_askers_rights(demo: Database) -> None:
    """What only reads has no rights of its own: of prices that are not seen it finds none."""
    with acting(demo, NORTH):
        assert demo.run("select * from tandem.price_classes(1)") == []


def test_money_by_right(demo: Database) -> None:
    """Who has the right moves money of accounts below it, and takes that back; its own is moved from above."""
    own = demo.one("select tandem.topup_v1(2, 5, 'n', 'root')")
    with acting(demo, NORTH):
        txn = demo.one("select tandem.move_v1(5, 7, 'topup', 'n', 'ann')")
        assert demo.one("select tandem.reverse_v1(%s, 'n', 'ann')", txn)
        assert demo.one("select tandem.lock_v1(5, 'all', 'ann', 'n')") == "none"
        assert demo.one("select tandem.lock_v1(5, 'none', 'ann', 'n')") == "all"
    for txn in (own, demo.one("select tandem.topup_v1(7, 5, 'n', 'root')")):
        assert _refused(demo, "North", "select tandem.reverse_v1(%s, 'n', 'a')", txn) == (
            "23503", f"there is no transaction {txn}")  # fmt: skip
    mine = demo.one("select tandem.topup_v1(4, 5, 'n', 'root')")
    demo.run("delete from tandem.account_grant where account_id = 2 and right_name = 'money'")
    assert _refused(demo, "North", "select tandem.reverse_v1(%s, 'n', 'a')", mine) == (
        "42501", "money: not granted to account 2 'North'")  # fmt: skip


def test_prices_and_carriers_by_right(demo: Database) -> None:
    """A reseller edits its tariffs and pays its carriers by the same functions as the root."""
    demo.run("insert into tandem.account_grant(account_id, right_name) values (2, 'carriers_own')")
    group = demo.one("select world.carrier_of('North', 'ours', '127.0.1.10', 5080, '44', '0.003')")
    tariff = demo.one("select id from tandem.tariff where account_id = 2 and name = 'retail'")
    edit = '[{"prefix": "4420", "price": {"per_min_micros": 7}}]'
    with acting(demo, NORTH):
        assert demo.one("select tandem.set_rates_v1(%s, %s)", tariff, edit)
        txn = demo.one("select tandem.pay_carrier_v1(%s, 5, 'n', 'ann')", group)
        assert demo.one("select tandem.reverse_v1(%s, 'n', 'ann')", txn)


def test_a_password_is_compared_and_not_read(demo: Database) -> None:
    """Of a line that one sees one learns whether it has this HA1; of others nothing."""
    ((line, md5),) = demo.run("select id, ha1_md5 from tandem.subscriber where username = 'alice'")
    query: LiteralString = "select tandem.is_password_v1('subscriber', %s, %s)"
    with acting(demo, ALPHA):
        assert demo.one(query, line, md5)
        assert not demo.one(query, line, md5[::-1])
    with acting(demo, SOUTH):
        assert not demo.one(query, line, md5)
    for statement in ("select ha1_md5 from tandem.subscriber", "select * from tandem.subscriber"):
        assert _refused(demo, "Alpha", statement) == ("42501", "permission denied for table subscriber")
    with acting(demo, ALPHA):
        demo.run("update tandem.subscriber set ha1_md5 = md5('x') where username = 'alice'")


def test_nobody_acts(demo: Database) -> None:
    """Without an acting account every question is an error, to a table that says the same to everybody too."""
    demo.run("set local role tandem_tenant")
    assert demo.refused("select from tandem.currency") == (
        "no acting account is set in this transaction: call tandem.act_as_v1 first"
    )
