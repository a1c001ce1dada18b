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
    assert (state, said) == ("23505", "server: the address '127.0.1.9' is not available")
    demo.run("select world.trusted('carol@b.example', '127.0.2.77', 'udp')")
    trusted = (
        "insert into tandem.trusted_source(subscriber_id, network, transport)"
        " select id, '127.0.2.77/32', 'udp' from tandem.subscriber where username = 'alice'"
    )
    assert _refused(demo, "Alpha", trusted) == ("23505", "trusted source: the address '127.0.2.77' is not available")
    assert "of subscriber" in demo.refused(trusted)


_TRUSTED: Final = (
    "insert into tandem.trusted_source(subscriber_id, network, from_pattern)"
    " select id, %s, '.' from tandem.subscriber where username = 'alice'"
)


@pytest.mark.parametrize(
    ("network", "state", "said"),
    [
        ("127.0.1.1", "23505", "the address '127.0.1.1' is not available"),  # a carrier's of the root
        ("198.51.100.80", "23505", "the address '198.51.100.80' is not available"),  # what the name of one stands for
        ("203.0.113.0/24", "23505", "the address '203.0.113.0/24' is not available"),  # around another tenant's
        ("127.0.0.1", "23505", "the address '127.0.0.1' is not available"),
        ("10.0.0.0/23", "23514", "network 10.0.0.0/23 is wider than /24 (IPv4) or /48 (IPv6)"),
        ("2001:db8::/47", "23514", "network 2001:db8::/47 is wider than /24 (IPv4) or /48 (IPv6)"),
    ],
)
def test_a_source_of_others_is_not_trusted(demo: Database, network: str, state: str, said: str) -> None:
    """Whose calls come from an address is not changed by somebody who does not see whose they are."""
    demo.run(
        "select world.server_named('acme', 'named', 'sip.acme.example', 5060), world.resolved('named', '198.51.100.80')"
    )
    demo.run("select world.trusted('carol@b.example', '203.0.113.9', 'udp')")
    assert _refused(demo, "Alpha", _TRUSTED, network) == (state, f"trusted source: {said}")


def test_a_source_of_ones_own_is_trusted(demo: Database) -> None:
    """Narrow ones, and beside others of lines that one sees; what the platform gave stays until it is changed."""
    with acting(demo, ALPHA):
        demo.run(_TRUSTED, "198.51.100.0/24")
        demo.run("update tandem.trusted_source set from_pattern = '^sip:a' where network = '198.51.100.0/24'")
    with acting(demo, NORTH):
        demo.run(_TRUSTED, "198.51.100.7/32")
    demo.run("select world.trusted('carol@b.example', '198.51.100.7', 'tls')")
    with acting(demo, ALPHA):
        demo.run("update tandem.trusted_source set enabled = false")
    state, said = _refused(
        demo, "Alpha", "update tandem.trusted_source set from_pattern = '' where masklen(network) = 24"
    )
    assert (state, said) == ("23505", "trusted source: the address '198.51.100.0/24' is not available")


def test_names_of_carriers_give_way_to_operators_only(demo: Database) -> None:
    """A tenant's trusted source takes no address from what a name stands for, be it its own carrier's."""
    demo.run("insert into tandem.account_grant(account_id, right_name) values (2, 'carriers_own')")
    demo.run("select world.carrier_of('North', 'ours', '127.0.1.10', 5080, '44', '0.003')")
    demo.run(
        "select world.server_named('ours', 'named', 'sip.ours.example', 5060), world.resolved('named', '198.51.100.80')"
    )
    count = "select count(*) from tandem.peering_server_address where address = '198.51.100.80'"
    with acting(demo, NORTH):
        demo.run(_TRUSTED, "198.51.100.80")
    assert demo.one(count) == 1
    demo.run("update tandem.trusted_source set network = network")
    assert demo.one(count) == 0


@pytest.mark.parametrize("given", ["127.0.2.1", "127.0.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.1", "::1", "fe80::1"])
def test_a_server_where_others_are(demo: Database, given: str) -> None:
    """Another tenant's PBX, or what is no host of others, is no carrier's; nor is it as an alias."""
    demo.run("insert into tandem.account_grant(account_id, right_name) values (2, 'carriers_own')")
    demo.run("select world.carrier_of('North', 'ours', '192.0.2.10', 5080, '44', '0.003')")
    address: LiteralString = "update tandem.peering_server set address = %s"
    alias: LiteralString = "update tandem.peering_server set aliases = array[%s::cidr]"
    for statement in (address, alias):
        state, said = _refused(demo, "North", statement, given)
        assert (state, said) == ("23505", f"server: the address '{given}' is not available")


def test_trust_is_the_platforms(demo: Database) -> None:
    """A carrier that a tenant has is believed by the platform alone, and at the address that this has looked at."""
    demo.run("insert into tandem.account_grant(account_id, right_name) values (2, 'carriers_own')")
    demo.run("select world.carrier_of('North', 'ours', '192.0.2.10', 5080, '44', '0.003')")
    said = "server 'ours': is_trusted is the platform's to say, for the address that it trusts; give it as no"
    elsewhere: LiteralString = "update tandem.peering_server set address = '192.0.2.11'"
    assert _refused(demo, "North", elsewhere) == ("42501", said)
    with acting(demo, NORTH):
        demo.run("update tandem.peering_server set weight = 7")
        demo.run("update tandem.peering_server set address = '192.0.2.11', is_trusted = false")
        demo.run("update tandem.peering_server set address = '192.0.2.12'")
    assert _refused(demo, "North", "update tandem.peering_server set is_trusted = true") == ("42501", said)


def test_what_comes_and_goes_by_a_right(demo: Database) -> None:
    """Who may not bring in a number or a domain does not send it away either."""
    said = _refused(demo, "Alpha", "delete from tandem.number")
    assert said == ("42501", "numbers: not granted to account 5 'Alpha'")
    said = _refused(demo, "Alpha", "delete from tandem.sip_domain")
    assert said == ("42501", "domains: not granted to account 5 'Alpha'")
    with acting(demo, NORTH):
        demo.run("delete from tandem.number where account_id = 5")


def test_a_lock_of_a_line_is_from_above(demo: Database) -> None:
    """The account itself neither lifts it nor sets it, nor the barring that it was given; the rest is its own."""
    said = "subscriber 'alice': its own account does not say its lock and barring: those above it do"
    with acting(demo, NORTH):
        demo.run("update tandem.subscriber set lock = 'foreign' where username = 'alice'")
    locks: LiteralString = "update tandem.subscriber set lock = %s where username = 'alice'"
    for lock in ("none", "all"):
        assert _refused(demo, "Alpha", locks, lock) == ("42501", said)
    with acting(demo, ALPHA):
        demo.run("update tandem.subscriber set status = 'suspended' where username = 'alice'")
    demo.run("select world.barring('North', 'strict', 'blacklist', '{^1}')")
    demo.run("update tandem.subscriber set barring_id = (select id from tandem.barring_level) where username = 'alice'")
    lifted: LiteralString = "update tandem.subscriber set barring_id = null where username = 'alice'"
    assert _refused(demo, "Alpha", lifted) == ("42501", said)
    with acting(demo, NORTH):
        demo.run(lifted)


def test_a_line_shows_numbers_of_those_one_sees(demo: Database) -> None:
    """With the right numbers also what nobody has; patterns are from above."""
    shows: LiteralString = "update tandem.subscriber set cli = %s where username = 'alice'"
    allows: LiteralString = "update tandem.subscriber set allowed_clis = array[%s] where username = 'alice'"
    for who, number in (("Alpha", "49891234001"), ("Alpha", "442079460777"), ("North", "49891234001")):
        said = f"subscriber 'alice': number '{number}' is not available to be shown"
        for statement in (shows, allows):
            assert _refused(demo, who, statement, number) == ("23503", said)
    said = "subscriber 'alice': its own account does not allow it the pattern '4420*': those above it do"
    assert _refused(demo, "Alpha", allows, "4420*") == ("42501", said)
    with acting(demo, NORTH):
        demo.run(allows, "4420*")
        demo.run(shows, "442079460777")
    with acting(demo, ALPHA):
        demo.run(
            "update tandem.subscriber set cli = cli, allowed_clis = allowed_clis, clir = true where username = 'alice'"
        )
        demo.run(shows, "442079460001")


def test_what_is_asked_about_others(demo: Database) -> None:
    """Neither their rights, nor in which currencies they have money, nor prices that nobody pays yet."""
    assert _refused(demo, "North", "select tandem.has_right(3, 'prices')") == (
        "42501", "permission denied for function has_right")  # fmt: skip
    watched: LiteralString = (
        "insert into tandem.threshold(account_id, currency, kind, amount_micros) values (3, %s, 'balance', 1)"
    )
    answers = {_refused(demo, "North", watched, currency) for currency in ("EUR", "USD", "GBP")}
    assert answers == {("42501", 'new row violates row-level security policy for table "threshold"')}
    made = demo.one("insert into tandem.rate_set(tariff_id, version)"
                    " select tariff_id, 77 from tandem.account where id = 5 returning id")  # fmt: skip
    for account, seen in ((ALPHA, 0), (NORTH, 1)):
        with acting(demo, account):
            assert demo.one("select count(*) from tandem.rate_set where id = %s", made) == seen
            assert demo.one("select count(*) from tandem.rate_set where state = 'ready'")


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
        "select tandem.move_account_v1(b.id, e.id, t.id) from tandem.account b, tandem.account e"
        " join tandem.tariff t on t.account_id = e.id where b.name = 'Beta' and e.name = 'East'"
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
