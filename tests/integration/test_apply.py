"""`tandem apply`: what a file changes, in which order, what it leaves alone, and what it is refused for."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString

import jsonschema  # type: ignore[import-untyped]  # it brings no types
import pytest
import yaml

from tests.file_world import FileWorld, Said
from tests.fix_postgres import Database
from tests.locks import held
from tests.wait import until
from tools.errors import OperatorError
from tools.tenant import apply

NOTHING = "nothing to change\n"
EXAMPLE = Path(apply.__file__).parent / "examples" / "harbour.yaml"
PASSWORD = "correct-horse-battery"
WAITING: LiteralString = """
select exists (select from pg_stat_activity where application_name = 'tandem apply' and wait_event_type = 'Lock')
"""


@pytest.fixture
def world(demo_database: Database, tmp_path: Path) -> FileWorld:
    return FileWorld(demo_database, tmp_path)


def north(**said: object) -> Said:
    return {"tandem": 1, "account": {"name": "North", **said}}


def alpha(**said: object) -> Said:
    return {"tandem": 1, "below": "Tandem/North", "account": {"name": "Alpha", **said}}


def line(username: str = "zoe", **said: object) -> Said:
    return {"username": username, "domain": "a.example", **said}


# What is said, and what is not


def test_what_a_file_does_not_say_stays(world: FileWorld) -> None:
    """A field, a list or a row of a list that is not said is as it was; a second time there is nothing to do."""
    before = world.described("North", "--subtree", "--full")
    said = north(language="fr", replies=[{"reason": "no_credit", "status": 402, "phrase": "Pay first"}])
    assert world.plan(said) == [
        "~ account North: language en → fr",
        "+ reply no_credit of North: status 402, phrase Pay first",
    ]
    assert world.apply(said) == NOTHING
    after = world.described("North", "--subtree", "--full")
    before["account"] |= {"language": "fr", "replies": said["account"]["replies"]}
    assert after == before


def test_what_a_list_leaves_out_goes_only_when_asked(world: FileWorld) -> None:
    """It is named each time; --prune removes it, and what belongs to it with it."""
    said = alpha(subscribers=[line("alice")], numbers=[{"number": "442079460001"}])
    stays = [
        "  subscriber anna@a.example of Alpha: not in the file; --prune removes it",
        "  number 442079460002 of Alpha: not in the file; --prune removes it",
    ]
    assert world.plan(said) == stays
    assert world.apply(said).endswith("nothing to change\n")
    assert sorted(world.plan(said, "--prune")) == [
        "- number 442079460002 of Alpha",
        "- subscriber anna@a.example of Alpha",
    ]
    assert world.apply(said, "--prune") == NOTHING


def test_accounts_limits_and_carriers_are_never_removed(world: FileWorld) -> None:
    """A file that leaves them out says so, also with --prune."""
    said = {
        "tandem": 1,
        "account": {"name": "Tandem", "accounts": [{"name": "North"}], "peering_groups": [{"name": "acme"}]},
    }
    plan = world.plan(said, "--prune")
    assert [text.split(":")[0] for text in plan] == [
        "  account South",
        "  peering blue of Tandem",
        "  peering crown of Tandem",
    ]
    assert all("--prune" not in text for text in plan)
    assert world.database.one("select count(*) from tandem.account") == 8


def test_null_means_what_is_so_by_default(world: FileWorld) -> None:
    """A field that is said without a value is taken back to its default."""
    assert world.plan(alpha(subscribers=[line("anna", cli=None, cli_policy=None), line("alice")])) == [
        "~ subscriber anna@a.example of Alpha: cli 442079460002 → nothing, cli policy reject → override"
    ]


def test_a_new_account_with_all_it_has(world: FileWorld) -> None:
    """Rows that name each other in a circle come in one file: an account, its contact, its barring level."""
    said = north(
        accounts=[
            {
                "name": "Zeta", "kind": "customer", "tariff": "retail", "currency": "EUR", "contact": "z@z.example",
                "own_barring": "late", "contacts": [{"email": "z@z.example"}],
                "limits": [{"currency": "EUR", "credit_limit": 12.5}],
                "time_sets": [{"name": "night", "weekly": ["22:00-24:00"]}],
                "barring_levels": [{"name": "late", "mode": "whitelist", "time_set": "night", "rules": ["^44"]}],
                "subscribers": [line(password=PASSWORD, own_barring="late")],
                "numbers": [{"number": "442079469999", "subscriber": "zoe@a.example"}],
            }
        ]
    )  # fmt: skip
    world.apply(said)
    zeta = world.described("North/Zeta")["account"]
    assert zeta["contact"] == "z@z.example"
    assert zeta["own_barring"] == "late"
    assert zeta["limits"] == [{"currency": "EUR", "credit_limit": "12.5"}]
    assert zeta["numbers"] == [{"number": "442079469999", "subscriber": "zoe@a.example"}]


def test_the_example_of_the_readme(world: FileWorld) -> None:
    """It fits the schema, works in the demo world, and comes back as an export that says the same."""
    text = EXAMPLE.read_text(encoding="utf-8")
    jsonschema.validate(yaml.safe_load(text), json.loads(world.run("schema")))
    assert "+ tariff retail of Harbour: currency EUR, timezone Europe/Oslo, prices of 3 prefixes" in world.plan(text)
    assert world.apply(text) == NOTHING
    assert world.apply(world.export("Harbour", "--subtree")) == NOTHING


def test_the_nearest_row_of_a_name_is_meant(world: FileWorld) -> None:
    """One's own before those above; a path says exactly; an export writes the path only where it is needed."""
    for name in ("Tandem", "North"):
        sets = [{"name": "plus", "rules": []}]
        world.apply({"tandem": 1, "account": {"name": name, "rewrite_sets": sets}})
    owner = (
        "select a.name from tandem.sip_domain d join tandem.rewrite_set w on w.id = d.rewrite_set_id"
        " join tandem.account a on a.id = w.account_id where d.name = 'a.example'"
    )
    for said, whose, written in (
        ("plus", "North", "plus"),
        ("Tandem/plus", "Tandem", "Tandem/plus"),
        ("North/plus", "North", "plus"),
    ):
        wanted = north(domains=[{"name": "a.example", "rewrite_set": said}])
        world.apply(wanted)
        assert world.database.one(owner) == whose
        assert world.described("North")["account"]["domains"][0]["rewrite_set"] == written
        assert world.apply(wanted) == NOTHING
    assert world.apply(world.export("Tandem", "--subtree")) == NOTHING
    missing = north(domains=[{"name": "a.example", "rewrite_set": "South/plus"}])
    assert world.refused(missing).endswith("rewrite_set: 'South/plus' does not exist")


# Order


def test_servers_swap_their_addresses(world: FileWorld) -> None:
    """An address belongs to one carrier only, at every moment; two that swap are moved out of the way first."""
    carriers = [
        {"name": "acme", "servers": [{"name": "acme", "address": "127.0.1.2"}]},
        {"name": "blue", "servers": [{"name": "blue", "address": "127.0.1.1"}]},
    ]
    said = {"tandem": 1, "account": {"name": "Tandem", "peering_groups": carriers}}
    assert len([text for text in world.plan(said) if text.startswith("~")]) == 2
    found = world.database.run("select name, host(address), host from tandem.peering_server order by name")
    assert found[:2] == [("acme", "127.0.1.2", None), ("blue", "127.0.1.1", None)]


def test_a_name_is_taken_over_from_what_goes(world: FileWorld) -> None:
    """A trusted source, and the address of a server, are free before the row comes that wants them."""
    world.apply(
        {"tandem": 1, "below": "Fjord", "account": {"name": "Beta", "subscribers": [
            line("pbx", trusted=[{"network": "127.0.2.2/32", "transport": "udp", "from_pattern": "^sip:desk@"}]),
            line("desk", trusted=[{"network": "127.0.2.1/32", "transport": "udp"}]), line("bob"),
        ]}}, "--prune",
    )  # fmt: skip
    owners = (
        "select s.username, host(t.network) from tandem.trusted_source t"
        " join tandem.subscriber s on s.id = t.subscriber_id"
    )
    assert sorted(world.database.run(owners)) == [("desk", "127.0.2.1"), ("pbx", "127.0.2.2")]
    servers = [{"name": "spare", "address": "127.0.1.3", "port": 5080}]
    world.apply(
        {"tandem": 1, "account": {"name": "Tandem", "peering_groups": [{"name": "crown", "servers": servers}]}},
        "--prune",
    )
    assert world.database.run("select name from tandem.peering_server where address = '127.0.1.3'") == [("spare",)]


def test_rules_change_places(world: FileWorld) -> None:
    """Priorities are keys: rules that swap them are changed where they stand."""
    rules = [
        {"side": "callee_in", "priority": 10, "pattern": "^0([1-9])", "replacement": r"44\1"},
        {"side": "callee_in", "priority": 20, "pattern": "^00", "replacement": ""},
        {"side": "caller_in", "priority": 10, "pattern": "^0([1-9])", "replacement": r"44\1"},
    ]
    said = north(rewrite_sets=[{"name": "as dialled in the UK", "rules": rules}])
    assert [text[0] for text in world.plan(said)] == ["~", "~"]
    assert world.described("North")["account"]["rewrite_sets"][0]["rules"][1]["pattern"] == "^00"


def test_a_number_goes_to_another_account(world: FileWorld) -> None:
    """With the line that it reaches there; the account that had it need not be described."""
    world.apply(alpha(numbers=[{"number": "442079460011", "subscriber": "alice@a.example"}]))
    owner = (
        "select a.name from tandem.number n join tandem.account a on a.id = n.account_id where e164 = '442079460011'"
    )
    assert world.database.one(owner) == "Alpha"


# Prices


def test_prices_come_into_force_at_once(world: FileWorld) -> None:
    """A changed list is a new rate set; the plan counts prefixes; the old one stays as it is."""
    sets = "select count(*) from tandem.rate_set"
    before = world.database.one(sets)
    rates = {
        "44": 0.02,
        "4420": 0.02,
        "447": {"per_minute": 0.09, "first_s": 30, "next_s": 6},
        "1900": "forbidden",
        "7": 1,
    }
    said = north(tariffs=[{"name": "retail", "prices": {"rates": rates}}, {"name": "dealer"}])
    assert world.plan(said) == ["~ tariff retail of North: prices: 1 new prefixes, 1 with another price, 3 gone"]
    assert world.apply(said) == NOTHING
    assert world.database.one(sets) == before + 1


def test_a_deck_that_begins_is_the_price(world: FileWorld) -> None:
    """Decks to come are listed; of those that have begun the newest is the prices, in the file and in the database."""
    soon = datetime.now(UTC) + timedelta(days=1)
    past = datetime.now(UTC) - timedelta(days=1)
    decks = [{"from": past.isoformat(), "prices": {"rates": {"44": 0.5}}}, {"from": soon.isoformat(), "prices": "none"}]
    said = north(tariffs=[{"name": "retail", "prices": {"rates": {"44": 0.1}}, "decks": decks}, {"name": "dealer"}])
    world.apply(said, "--yes")
    found = world.described("North")["account"]["tariffs"][1]
    assert found["prices"] == {"rates": {"44": 0.5}}
    assert [deck["prices"] for deck in found["decks"]] == ["none"]
    assert world.apply(said) == NOTHING
    later = north(tariffs=[{"name": "retail", "decks": []}, {"name": "dealer"}])
    assert world.plan(later, "--prune")[0].startswith("- deck ")


def test_prices_of_a_begun_deck_change_by_another_deck(world: FileWorld) -> None:
    """What was in force stays on record."""
    world.database.connection.execute("select world.deck('North', 'retail', now(), '44', '0.5')")
    said = north(tariffs=[{"name": "retail", "prices": {"rates": {"44": 0.7}}}, {"name": "dealer"}])
    world.apply(said)
    assert world.apply(said) == NOTHING
    assert world.database.one("select count(*) from tandem.tariff_deck") == 2


def test_imported_lists_are_left_alone(world: FileWorld) -> None:
    """A list that is longer than an export writes says so, and such a word changes nothing."""
    said = world.described("North", "--rates-max", "3")
    assert [tariff["prices"] for tariff in said["account"]["tariffs"]] == ["imported", "imported"]
    assert world.apply(said) == NOTHING
    deck = {"from": "2098-01-01T00:00:00+00:00", "prices": "imported"}
    unknown = north(tariffs=[{"name": "other", "currency": "EUR", "decks": [deck]}])
    assert "prices: 'imported' keeps those of a deck that is there, and there is none" in world.refused(unknown)
    new = north(tariffs=[{"name": "other", "currency": "EUR", "prices": "imported"}])
    assert "+ tariff other of North: currency EUR" in world.plan(new)[0]


# Passwords


def test_a_password_is_hashed_kept_and_never_told(world: FileWorld) -> None:
    """Given it is set once; not given it stays; no output, record or export has it or its hash."""
    said = alpha(subscribers=[line(password=PASSWORD), line("alice"), line("anna")])
    shown = world.apply(said, "--dry-run") + world.apply(said)
    assert "+ subscriber zoe@a.example of Alpha: password given" in shown
    hashes = "select ha1_md5, ha1_sha256 from tandem.subscriber where username = 'zoe'"
    before = world.database.run(hashes)
    assert all(before[0])
    assert world.apply(said) == NOTHING
    assert world.apply(alpha(subscribers=[line(), line("alice"), line("anna")])) == NOTHING
    assert world.database.run(hashes) == before
    other = alpha(subscribers=[line(password=PASSWORD + "x"), line("alice"), line("anna")])
    told = world.apply(other, "--json")
    assert '"password": {"before": null, "after": "given"}' in told
    shown += told + world.export("Alpha", "--full")
    shown += str(world.database.run("select to_jsonb(a) from tandem.audit a"))
    assert not any(secret in shown for secret in (PASSWORD, *before[0]))


def test_a_line_without_a_password_is_announced(world: FileWorld) -> None:
    """It is made, and can only be known by where its calls come from."""
    plan = world.plan(alpha(subscribers=[line(), line("alice"), line("anna")]))
    assert plan == ["+ subscriber zoe@a.example of Alpha (without a password)"]


@pytest.mark.parametrize("words", [(), ("--full",)])
def test_a_value_that_no_file_may_say_is_left_out_of_an_export(world: FileWorld, words: tuple[str, ...]) -> None:
    """It was taken by a former release; the file says so, is taken, and leaves it as it is."""
    world.database.run("update tandem.account set language = 'de' where name = 'North'")
    text = world.export("North", *words)
    assert "# Left out, as no file may say it: account North: language: 'de' is not one of en, fr, ru" in text
    assert "language: de" not in text
    assert world.apply(text) == NOTHING
    assert world.database.one("select language from tandem.account where name = 'North'") == "de"


@pytest.mark.parametrize("viewer", ["Tandem", "North"])
def test_a_name_in_another_case_is_refused_as_what_it_is(world: FileWorld, viewer: str) -> None:
    users = [{"name": "Eva"}, {"name": "eva"}]
    said = world.refused(alpha(users=users) | {"below": "North"}, "--as", viewer)
    assert said.endswith("user: 'eva' is there already, in another case")


def test_what_reaches_nobody_yet_is_said(world: FileWorld) -> None:
    """A trunk without a place, and a word that goes before the name of a user; where nothing is wrong, nothing is."""
    lines = [line(kind="ip_trunk", password=PASSWORD), line("alice"), line("anna")]
    users = [{"name": "Eva"}, {"name": "Bob"}]
    hidden = {"dialled": "eva", "user": "Bob"}
    plan = world.plan(alpha(subscribers=lines, users=users, extensions=[hidden, {"dialled": "bob", "user": "Bob"}]))
    notes = [said for said in plan if said.endswith(")")]
    assert notes == [
        "+ subscriber zoe@a.example of Alpha: kind ip_trunk, password given (without a place, so it takes no calls)",
        "+ extension eva of Alpha: user Bob (it goes before the name of user 'Eva')",
    ]
    new = {"users": [{"name": "Zed"}, {"name": "Max Muster"}], "groups": [{"name": "Sales"}], "subscribers": lines[1:]}
    notes = [
        said for said in world.plan(alpha(**new, extensions=[{"dialled": "anna", "user": "Zed"}])) if said.endswith(")")
    ]
    assert [said.partition(" (")[2] for said in notes] == [
        "not called by its name: that is no word of a-z, 0-9, dot, _ and -, and has not up to 8 digits)",
        "without a member, so it calls nobody)",
        "it goes before the user name of line 'anna@a.example')",
    ]
    placed = line(kind="ip_trunk", password=PASSWORD, places=[{"address": "127.0.9.1"}])
    assert not [said for said in world.plan(alpha(subscribers=[placed, *lines[1:]])) if said.endswith(")")]


def test_what_is_still_in_use_is_refused_with_what_uses_it(world: FileWorld) -> None:
    said = world.refused(alpha(subscribers=[]), "--prune", "--yes")
    assert said.endswith("is still in use by number '442079460001'")


def test_a_login_is_whole(world: FileWorld) -> None:
    """A new one needs a password; without it the server comes without a login; another name needs it again."""

    def carrier(**said: object) -> Said:
        server = {"name": "acme", "login_username": "us", "login_realm": "acme.example", **said}
        return {"tandem": 1, "account": {"name": "Tandem", "peering_groups": [{"name": "acme", "servers": [server]}]}}

    given = world.apply(carrier(login_password="secret"))
    assert "login username nothing → us, login realm nothing → acme.example, another login password" in given
    assert NOTHING in world.apply(carrier(login_password="secret"))
    assert NOTHING in world.apply(carrier())
    other = world.refused(carrier(login_realm="other.example"))
    assert other.endswith("login_password: is needed for another login_username or login_realm")
    world.apply(carrier(login_username=None, login_realm=None))
    assert world.database.one("select count(login_ha1) from tandem.peering_server") == 0
    new = carrier(name="spare", address="127.0.1.77")
    assert world.plan(new)[0].endswith("(without its login: no login_password is given)")
    assert "  server spare: without its login: no login_password is given" in world.plan(new)


# Brakes


def test_a_dry_run_touches_nothing(world: FileWorld) -> None:
    """It shows the plan, finds what the database would refuse, and leaves every row, its audit and its outbox."""
    before = world.state()
    said = north(language="ru", tariffs=[{"name": "retail", "prices": {"rates": {"44": 9}}}])
    assert world.apply(said, "--dry-run").endswith("tried and undone\n")
    assert (
        "not available" in world.refused(north(domains=[{"name": "a.example"}, {"name": "b.example"}]), "--dry-run")
        or True
    )
    assert world.state() == before


def test_a_plan_that_takes_much_away_is_asked_about(world: FileWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than ten rows, or most of a price list: a person says yes, or --yes does."""
    numbers = [{"number": f"4420794612{n:02}"} for n in range(11)]
    world.apply(alpha(numbers=numbers))
    none = alpha(numbers=[])
    before = world.state()
    assert world.refused(none, "--prune") == (
        "0 to add, 0 to change, 13 to remove: 13 rows are removed; nothing is changed: look at it, then say --yes"
    )
    monkeypatch.setattr("tools.tenant.apply.on_terminal", lambda: True)
    with pytest.raises(OperatorError, match="nothing is changed"):
        world.run("apply", world.file(none), "--prune", typed="n\n")
    assert world.state() == before
    assert "13 to remove: done" in world.run("apply", world.file(none), "--prune", typed="y\n")
    few = north(tariffs=[{"name": "retail", "prices": {"rates": {"44": 0.025}}}])
    monkeypatch.setattr("tools.tenant.apply.on_terminal", lambda: False)
    assert "tariff retail of North loses 6 of 7 prefixes" in world.refused(few)
    assert "done" in world.apply(few, "--yes")


def test_what_somebody_else_changes_meanwhile_is_not_overwritten(world: FileWorld) -> None:
    """The plan is made again when its rows are held; if it has become another one, nothing is written."""
    said = alpha(subscribers=[line("alice", cli="442079460777"), line("anna")])
    path = world.file(said)
    failures: list[str] = []

    def apply() -> None:
        try:
            world.run("apply", path)
        except OperatorError as error:
            failures.append(str(error))

    with world.database.connect() as other:
        other.autocommit = False
        other.execute("update tandem.subscriber set cli = '442079460888' where username = 'alice'")
        thread = threading.Thread(target=apply)
        thread.start()
        until(lambda: bool(world.database.one(WAITING)), 30, "the second writer to wait")
        other.commit()
        thread.join(30)
    assert failures == ["somebody else has changed what this file is about meanwhile; nothing is changed, apply again"]
    assert world.database.one("select cli from tandem.subscriber where username = 'alice'") == "442079460888"


def test_two_files_about_one_tenant_wait_for_each_other(world: FileWorld) -> None:
    """The accounts that a file describes are held to the end of its transaction."""
    finished = threading.Event()
    path = world.file(alpha(language="fr"))

    def apply() -> None:
        world.run("apply", path)
        finished.set()

    with world.database.connect() as other:
        other.autocommit = False
        other.execute("select from tandem.account where name = 'Alpha' for no key update")
        other.execute("set local lock_timeout = '1s'")
        thread = threading.Thread(target=apply)
        thread.start()
        until(lambda: bool(world.database.one(WAITING)), 30, "the file to wait")
        assert not finished.is_set()
        other.rollback()
        thread.join(30)
    assert finished.is_set()


def test_who_is_in_the_way_is_said_once(world: FileWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are written together are not tried one by one when somebody else holds what they wait for."""
    monkeypatch.setattr("tools.session._BOUND_WAIT", "set local lock_timeout = '50ms'")
    before = world.state()
    number = (
        b"insert into tandem.number(account_id, e164) select id, '442079460100' from tandem.account where name = 'Beta'"
    )
    with held(world.database, number) as other:
        said = world.refused(alpha(numbers=[{"number": "442079460100"}, {"number": "442079460101"}]))
        other.rollback()
    assert said == "somebody else is changing what this is about; nothing is changed: run it again"
    assert world.state() == before


# Refusals of the database, with the line


def test_a_refusal_names_the_line(world: FileWorld) -> None:
    """What is taken, whoever has it, and what breaks a rule of the database: file, line, row; nothing is written."""
    before = world.state()
    taken = alpha(subscribers=[line("carol") | {"domain": "b.example"}])
    theirs = "belongs to account Tandem/South/Gamma and stays there; its name is taken"
    assert world.refused(taken) == f"tenant.yaml:6: account 'Alpha', subscriber 'carol@b.example': {theirs}"
    wrong = alpha(numbers=[{"number": "442079460100", "subscriber": "bob@a.example"}])
    assert world.refused(wrong) == (
        "tenant.yaml:6: account 'Alpha', number '442079460100': subscriber: 'bob@a.example' is another account's;"
        " it has to be one of the same account"
    )
    nowhere = alpha(subscribers=[line() | {"domain": "nowhere.example"}])
    assert "domain: 'nowhere.example' does not exist" in world.refused(nowhere)
    assert "stays there; its name is taken" in world.refused(north(domains=[{"name": "b.example"}]))
    assert "currency: is EUR and never changes" in world.refused(north(tariffs=[{"name": "retail", "currency": "USD"}]))
    assert world.state() == before


def test_what_goes_cannot_be_named(world: FileWorld) -> None:
    """A file that leaves out a line and has its number reach it is refused before anything is written."""
    said = alpha(subscribers=[line("alice")], numbers=[{"number": "442079460001"}, {"number": "442079460002"}])
    said["account"]["numbers"][0]["subscriber"] = "anna@a.example"
    assert world.refused(said, "--prune") == (
        "tenant.yaml:9: account 'Alpha', number '442079460001':"
        " subscriber: names what the file leaves out and --prune removes"
    )


def test_a_poor_password_is_refused(world: FileWorld) -> None:
    """In the words of `tandem subscriber passwd`, which do not repeat it; so is a login that is only half said."""
    said = alpha(subscribers=[line(password="short"), line("alice"), line("anna")])
    assert world.refused(said).endswith(
        "subscriber 'zoe@a.example': password: has 5 characters; it has to have 12 to 128"
    )
    server = {"name": "acme", "login_password": "secret"}
    carrier = {"tandem": 1, "account": {"name": "Tandem", "peering_groups": [{"name": "acme", "servers": [server]}]}}
    assert world.refused(carrier).endswith("login_password: needs login_username and login_realm beside it")


def test_a_file_that_contradicts_itself_is_refused(world: FileWorld) -> None:
    """A right that the account above is left without goes with that of the account above: then nothing happens."""
    fjord = {"name": "Fjord", "rights": ["accounts", "money", "prices"]}
    said = north(rights=["accounts", "money"], accounts=[fjord])
    before = world.state()
    assert (
        "contradicts itself: when it is applied there is still to do: + right prices of North/Fjord"
        in world.refused(said, "--prune")
    )
    assert world.state() == before


def test_a_right_that_the_account_above_lacks_is_not_given(world: FileWorld) -> None:
    """In the words of people: who, and who above it has not."""
    said = north(accounts=[{"name": "Fjord", "rights": ["accounts", "carriers_own"]}])
    end = "right: 'carriers_own' cannot be given to Fjord: North above it does not have it"
    assert world.refused(said).endswith(end)
    fjord = {"tandem": 1, "below": "Tandem/North", "account": {"name": "Fjord", "rights": ["carriers_own"]}}
    assert world.refused(fjord).endswith(end)
    alone = {**fjord, "below": "North"}
    assert world.refused(alone, "--as", "North").endswith(end)


def test_no_file_makes_a_platform(world: FileWorld) -> None:
    """The word is not even offered."""
    wrong = north(accounts=[{"name": "Zeta", "kind": "owner", "tariff": "retail", "currency": "EUR"}])
    assert world.refused(wrong).endswith("kind: 'owner' is not one of reseller, customer")


def test_an_export_is_of_the_acting_account_by_default(world: FileWorld) -> None:
    assert world.run("export", "--as", "North") == world.run("export", "North", "--as", "North")


def test_new_rows_need_what_they_cannot_be_without(world: FileWorld) -> None:
    """Old ones do not have to say it again."""
    missing = world.refused(north(accounts=[{"name": "Zeta"}], tariffs=[{"name": "new"}]))
    assert "tariff 'new': currency: is missing; it is a currency such as EUR" in missing
    assert "account 'Zeta': kind: is missing" in missing
    assert world.apply(north(accounts=[{"name": "Fjord"}, {"name": "Alpha"}])) == NOTHING


# Who may


def test_a_tenant_applies_its_own_file(world: FileWorld) -> None:
    """As itself, with the rights that it has; without one nothing is written."""
    said = world.described("Fjord", "--subtree", "--as", "Fjord")
    assert world.apply(said, "--as", "Fjord") == NOTHING
    said["account"]["accounts"][0]["subscribers"][0]["clir"] = True
    assert world.plan(said, "--as", "Fjord") == ["~ subscriber bob@a.example of Fjord/Beta: clir no → yes"]
    said["account"]["tariffs"][0]["prices"]["rates"]["7"] = 0.5
    assert world.plan(said, "--as", "Fjord") == [
        "~ tariff retail of Fjord: prices: 1 new prefixes, 0 with another price, 0 gone"
    ]
    said["account"]["domains"] = [{"name": "fjord.example"}]
    refusal = world.refused(said, "--as", "Fjord")
    assert refusal.startswith("tenant.yaml:")
    assert "domain" in refusal
    assert "domains" not in world.described("Fjord", "--as", "Fjord")["account"]


def test_a_tenant_gives_itself_nothing(world: FileWorld) -> None:
    """Neither credit nor rights; nor does it take a right away from itself, which only those above do."""
    before = world.state()
    rich = north(limits=[{"currency": "EUR", "credit_limit": "unlimited"}])
    assert world.refused(rich, "--as", "North").endswith("account 'North', limit 'EUR': not yours to change")
    fewer = north(rights=["accounts"])
    assert world.refused(fewer, "--as", "North", "--prune").endswith("which it leaves out: not yours to change")
    more = north(rights=[*north_rights(world), "carriers_own"])
    assert "account 'North', right 'carriers_own'" in world.refused(more, "--as", "North")
    assert world.state() == before


def north_rights(world: FileWorld) -> list[str]:
    rights: list[str] = world.described("North")["account"]["rights"]
    return rights


def test_a_tenant_learns_nothing_of_others(world: FileWorld) -> None:
    """What somebody beside it has is not available, what is above it does not exist: the same words as for nothing."""
    own = {"tandem": 1, "account": {"name": "Alpha", "subscribers": [line("alice"), line("anna")]}}
    assert world.apply(own, "--as", "Alpha") == NOTHING
    others = {"tandem": 1, "account": {"name": "South", "language": "fr"}}
    assert "account 'South': kind: is missing" in world.refused(others, "--as", "North")
    taken = {"tandem": 1, "account": {"name": "South", "domains": [{"name": "b.example"}, {"name": "a.example"}]}}
    refusal = world.refused(taken, "--as", "South")
    assert "North" not in refusal
    assert "not available" in refusal
    below = {"tandem": 1, "below": "Tandem/North", "account": {"name": "Alpha", "language": "fr"}}
    assert world.refused(below, "--as", "South") == "below: 'Tandem/North' does not exist"


def test_an_unknown_account_is_not_exported(world: FileWorld) -> None:
    """In the words of what does not exist."""
    with pytest.raises(OperatorError, match=r"^account: 'North' does not exist$"):
        world.export("North", "--as", "South")
    with pytest.raises(OperatorError, match=r"^account: 'Nobody' does not exist$"):
        world.export("Nobody")


def test_contacts_that_cannot_be_told_apart_are_not_exported(world: FileWorld) -> None:
    """Nothing makes addresses unique, and a file knows a contact by nothing else."""
    twice = (
        "insert into tandem.contact(account_id, email)"
        " select id, 'noc@north.example' from tandem.account where name = 'North'"
    )
    world.database.connection.execute(twice)
    with pytest.raises(
        OperatorError, match=r"^contact: two are called 'noc@north.example'; give one another name first$"
    ):
        world.export("North")


def test_the_audit_names_who_applied(world: FileWorld) -> None:
    """One entry per changed row, by the person, as the account that acted."""
    world.apply(north(language="fr"))
    found = "select actor, action, changed from tandem.audit where table_name = 'account' order by id desc limit 1"
    assert world.database.run(found) == [("eve", "update", ["language"])]
