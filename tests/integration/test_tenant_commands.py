"""Commands about what tenants have: each of them, as people and as programs read it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import typer

from tests.fix_postgres import DEMO, Database, PostgresServer
from tests.settle_pair import ROOT
from tests.tenant_world import TenantWorld, told
from tools.tenant.command import groups

STORY: Final = told(Path(__file__).with_name("tenant_story.txt"))


@pytest.fixture(scope="module")
def read_only(postgres_server: PostgresServer) -> Iterator[TenantWorld]:
    """Make one world for all that only reads."""
    with postgres_server.clone(DEMO) as database:
        yield TenantWorld(database)


def test_every_command_does_what_it_says(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    before = world.run("number list --all") + world.run("subscriber list --all") + world.run("domain list")
    for each in STORY:
        assert each.says in world.run(each.line, each.stdin), each.line
    assert world.run("number list --all") + world.run("subscriber list --all") + world.run("domain list") == before
    actors = demo_database.run("select distinct actor from tandem.audit where acting_account_id is not null")
    assert actors == [("eve",)]


def test_every_command_is_in_the_story() -> None:
    in_story = {_words(each.line) for each in STORY}
    made = {f"{name} {command}" for name, app in groups().items() for command in _commands(app)}
    elsewhere = {
        "peering remove",  # what is always refused is in test_tenant_refusals.py
        "subscriber registrations",  # test_tenant_registrations.py has a Redis
    }
    assert made - in_story == elsewhere


def _commands(app: typer.Typer) -> Iterator[str]:
    for command in app.registered_commands:
        yield str(command.name)
    for below in app.registered_groups:
        assert below.typer_instance is not None
        yield from (f"{below.typer_instance.info.name} {name}" for name in _commands(below.typer_instance))


def _words(line: str) -> str:
    """Return the words of a line that name its command."""
    parts = line.split()
    nested = {
        "peering": {"server", "rule", "hunt", "inbound"}, "rewrite-set": {"rule"}, "barring": {"rule"},
        "contract": {"carrier"}, "subscriber": {"forward", "place"}, "user": {"forward"}, "group": {"member"},
        "callflow": {"step"},
    }  # fmt: skip
    deeper = parts[1] in nested.get(parts[0], ())
    return " ".join(parts[: 3 if deeper else 2])


def test_programs_read_the_same_keys_in_every_command(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    added = world.json("subscriber add eva@a.example --account Alpha --blocked-in 44*")
    assert added == {
        "id": added["id"], "account": "Tandem/North/Alpha", "account_id": 5, "username": "eva", "domain": "a.example",
        "status": "active", "lock": "none", "cli": None, "cli_policy": "override", "allowed_clis": [], "clir": False,
        "rewrite_set": None, "barring": None, "own_barring": None, "blocked_in": ["44*"], "blocked_out": [],
        "region": "", "kind": "line", "user": None, "dnd": False, "ring_s": 0, "calls_max": 0, "calls_in_max": 0,
        "calls_out_max": 0, "did_in": "ruri", "contacts_max": 0, "expires_min_s": 0, "expires_max_s": 0,
        "register_from": [], "digest": "",
    }  # fmt: skip
    assert world.json("subscriber list eva") == [added]
    nothing: dict[str, list[object]] = {"trusted": [], "forwards": [], "places": []}
    assert world.json("subscriber show eva@a.example") == {**added, **nothing}
    assert world.json("subscriber set eva --clir yes") == {**added, "clir": True}
    assert world.json("subscriber remove eva") == {**added, "clir": True}
    assert world.json("subscriber list eva") == []


def test_what_belongs_to_a_row_is_shown_with_it(read_only: TenantWorld) -> None:
    found = read_only.json("peering show acme")
    assert [server["address"] for server in found["servers"]] == ["127.0.1.1"]
    assert [rule["code"] for rule in found["inbound"]] == [433]
    assert [rule["peering"] for rule in found["rules"]] == ["acme"]


def test_no_secret_is_ever_shown(read_only: TenantWorld) -> None:
    """HA1 of alice-secret: neither in any list nor in what belongs to it."""
    secrets = read_only.database.run("select ha1_md5, ha1_sha256 from tandem.subscriber where ha1_md5 is not null")
    shown = "".join(read_only.run(f"{name} list --json") for name in groups() if name != "contract")
    shown += read_only.run("subscriber show alice@a.example --json")
    assert len(secrets) > 1
    assert not [secret for row in secrets for secret in row if secret in shown]


def test_hashes_of_a_password_are_those_that_a_phone_computes(demo_database: Database) -> None:
    """The demo's passwords are hashed in SQL; the tool's are the same."""
    world = TenantWorld(demo_database)
    query = b"select ha1_md5, ha1_sha256 from tandem.subscriber where username = 'dave'"
    before = demo_database.run(query)
    world.run("subscriber passwd dave --none")
    assert demo_database.run(query) == [(None, None)]
    world.run("subscriber passwd dave", "dave-secret-and-more\n")
    hashed = demo_database.run(
        b"select md5(t), encode(sha256(t::bytea), 'hex') from (values ('dave:b.example:dave-secret-and-more')) as v(t)"
    )
    assert demo_database.run(query) == hashed != before


def test_a_page_says_what_it_leaves_out(read_only: TenantWorld) -> None:
    assert "3 of 7; --all shows the others" in read_only.run("subscriber list --limit 3")
    assert "--all" not in read_only.run("subscriber list --limit 7")
    assert "--all" not in read_only.run("subscriber list --all --limit 3")
    assert len(read_only.json("subscriber list --limit 3")) == 3
    assert len(read_only.json("subscriber list")) == 7


def test_more_than_is_counted_is_said_so(read_only: TenantWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.tenant.read.COUNTED_MAX", 4)
    monkeypatch.setattr("tools.tenant.actions.COUNTED_MAX", 4)
    assert "3 of more than 4; --all shows the others" in read_only.run("subscriber list --limit 3")


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("subscriber list --account Beta", [3, 4, 5]),
        ("subscriber list --account Tandem/North/Alpha", [1, 2]),
        ("subscriber list an --account 5", [2]),
        ("number list 4420", [1, 2, 3]),
        ("trusted list 127.0.2.2/32", [2]),
        ("trusted list --subscriber pbx --account Beta", [1]),
        ("peering inbound list 1 --peering acme", [1]),
        ("contract list --parent North", [4, 5]),
        ("contract list F", [4]),
    ],
)
def test_lists_are_narrowed_by_whose_and_by_the_beginning_of_names(
    read_only: TenantWorld, line: str, ids: list[int]
) -> None:
    assert [row["id"] for row in read_only.json(line)] == ids


@pytest.mark.parametrize(
    "line",
    [
        "tariff show '#6'",
        "tariff show 6",
        "tariff show retail --account North",
        "tariff show retail --account Tandem/North",
    ],
)
def test_a_row_is_named_by_name_id_or_whose(read_only: TenantWorld, line: str) -> None:
    assert read_only.json(line)["id"] == 6


def test_a_name_that_is_a_number_comes_before_an_id(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    made = world.json("tariff add 6 --currency EUR")
    assert world.json("tariff show 6")["id"] == made["id"]
    assert world.json("tariff show '#6'")["id"] == 6


def test_of_rows_named_alike_the_nearest_is_meant_and_a_path_says_another(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    own = world.json("rewrite-set add plus --account North")["id"]
    root = demo_database.one("select id from tandem.rewrite_set where name = 'plus' and account_id = 1")
    stored = b"select rewrite_set_id from tandem.sip_domain where name = 'a.example'"
    for text, meant, shown in (
        ("plus", own, "plus"),
        ("Tandem/plus", root, "Tandem/plus"),
        ("North/plus", own, "plus"),
        (f"#{root}", root, "Tandem/plus"),
        (str(own), own, "plus"),
    ):
        world.run("domain set a.example --rewrite-set ''")
        assert world.json(f"domain set a.example --rewrite-set '{text}'")["rewrite_set"] == shown
        assert demo_database.one(stored) == meant
        world.run(f"domain set a.example --rewrite-set '{shown}'")
        assert demo_database.one(stored) == meant


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("subscriber show a", ["alice@a.example", "anna@a.example"]),
        ("subscriber show alice@", ["alice@a.example"]),
        ("subscriber list --account Al", ["Alpha"]),
        ("peering server add x --peering cr", ["crown"]),
        ("subscriber set x --barring z", []),
        ("domain set x --enabled y", ["yes"]),
        ("subscriber set x --cli-policy a", ["anonymise"]),
        ("subscriber set x --cli 4", []),
        ("reply add no_c", ["no_credit"]),
        ("account show No", ["North"]),
        ("subscriber list --as No", ["North"]),
        ("audit --account No", ["North"]),
    ],
)
def test_a_shell_completes_names_and_words(read_only: TenantWorld, words: str, offered: list[str]) -> None:
    assert _completed(words, read_only.dsn) == offered


def test_a_shell_completes_nothing_without_a_database() -> None:
    assert _completed("subscriber show a", "") == []
    assert _completed("subscriber show a", "postgresql://postgres@/none?host=/nowhere") == []


def _completed(words: str, database_url: str) -> list[str]:
    """Return what bash would offer for the last word."""
    line = f"tandem {words}"
    asked = {"_TANDEM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    env = {**os.environ, "DATABASE_URL": database_url, "TANDEM_AS": "", "REDIS_URL": "", **asked}
    program = "import sys; sys.argv[0] = 'tandem'; from tools.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, check=False)
    assert done.stderr == b""
    return done.stdout.decode().split()


def test_json_of_a_list_is_one_document(read_only: TenantWorld) -> None:
    for name in groups():
        assert isinstance(json.loads(read_only.run(f"{name} list --json")), list)


def test_prices_of_a_tariff_are_shown_and_changed(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    assert "no prices now" in world.run("tariff add gold --currency EUR") + world.run("tariff prices gold")
    refused = world.refused("tariff price gold 44 1")
    assert "has no prices now that could be edited" in refused
    demo_database.run(
        "insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (6, '2099-01-01', null)"
    )
    world.run("tariff price retail 4420 0.5 --account North --as North")
    found = world.json("tariff prices retail 442 --account North")
    assert (found["version"], found["to_come"]) == (2, [{"from": "2099-01-01T00:00:00+00:00", "version": None}])
    assert found["prices"] == [
        {"prefix": "4420", "per_minute": "0.5000", "first_s": 1, "next_s": 1, "connect": "0.0000", "minimum": "0.0000",
         "forbidden": False},
    ]  # fmt: skip
    assert "no prices from 2099-01-01T00:00:00+00:00" in world.run("tariff prices retail --account North")
    refused = world.refused("tariff price retail 44 1 --account Alpha --as Alpha")
    assert refused == "tariff: 'retail' is another account's; it has to be one of the same account"


def test_a_page_of_prices_says_that_it_is_one(demo_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.tenant.rates.PAGE", 2)
    world = TenantWorld(demo_database)
    assert "the first 2; --all shows the others" in world.run("tariff prices wholesale")
    assert "--all" not in world.run("tariff prices wholesale --all")
    assert len(world.json("tariff prices wholesale")["prices"]) == 7


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("account add", "Add an account."),
        ("trusted list", "List trusted sources that the acting account sees."),
        ("trusted add", "Add a trusted source."),
        ("peering inbound show", "Show an inbound filter and what belongs to it."),
        ("contract set", "Change a contract."),
        ("contract list", "List contracts that the acting account sees."),
        ("contract carrier list", "List carrier contracts that the acting account sees."),
        ("subscriber remove", "at once: nobody is asked."),
        ("peering remove", "Refused: calls may still come in that it carried; disable it."),
        ("peering add", "--share NUMBER Part"),
        ("peering add", "--tariff NAME Its deck"),
        ("subscriber add", "--blocked-in LIST Who may not call it. Separated by commas."),
        ("reply add", "One of bad_number, barred, "),
    ],
)
def test_help_says_what_a_command_does(read_only: TenantWorld, line: str, says: str) -> None:
    said = read_only.run(f"{line} --help", COLUMNS="300", NO_COLOR="1", TERM="dumb")
    assert says in " ".join(said.replace("│", " ").split())


def test_of_a_carrier_of_accounts_above_only_the_name_is_seen(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    world.run("account grant North carriers_seen")
    found = world.json("peering show acme --as North")
    assert (found["name"], found["enabled"], found["servers"], found["rules"]) == ("acme", True, [], [])
    kept = {name for name, value in found.items() if value not in (None, [], "")}
    assert kept == {"id", "account_id", "name", "enabled"}
    (row,) = world.json("peering list acme --as North")
    assert (row["name"], row["priority"], row["share"], row["may_return"], row["tariff"]) == ("acme", *[None] * 4)
    assert world.run("peering show acme --as North").split() == ["id", "1", "name", "acme", "enabled", "yes"]


def test_a_line_moves_to_a_domain_made_for_it(demo_database: Database) -> None:
    """As the README has it."""
    world = TenantWorld(demo_database)
    world.run("domain add new.example --account North")
    said = world.run("subscriber move alice@a.example new.example", "correct horse battery\n")
    assert "alice@a.example → alice@new.example" in said


def test_who_hides_a_name_is_told(demo_database: Database) -> None:
    """A user or an extension goes before the name of a line; a line that it rings anyway is not hidden."""
    world = TenantWorld(demo_database)
    hidden = "line alice@a.example is not called by its user name any more: the"
    assert f"{hidden} user goes first" in world.run("user add Alice --account Alpha")
    assert hidden not in world.run("user set Alice --dnd yes"), "its name is what it was"
    world.run("subscriber set alice@a.example --user Alice")
    assert hidden not in world.run("extension add alice --account Alpha --user Alice")
    world.run("user add Bob --account Alpha")
    assert f"{hidden} extension goes first" in world.run("extension set alice --user Bob")
    world.run("extension remove alice")
    assert hidden not in world.run("extension add alice --account Alpha --subscriber alice@a.example")


@pytest.mark.parametrize("name", ["Max Muster", "Jürgen", "442079460001"])
def test_a_user_that_nobody_can_call_by_its_name_is_told_so(demo_database: Database, name: str) -> None:
    world = TenantWorld(demo_database)
    said = "it is not called by its name: that is no word"
    assert said in world.run(f"user add '{name}' --account Alpha")
    assert said not in world.run("user add Max --account Alpha")
    assert said in world.run("user set Max --name 'Max Two'")


def test_what_calls_nobody_yet_is_told(demo_database: Database) -> None:
    """A group without members and overflow, a user without lines, a line without a password."""
    world = TenantWorld(demo_database)
    group = "it calls nobody until it has a member: tandem group member add POSITION --group #1"
    assert group in world.run("group add Sales --account Alpha")
    assert group not in world.run("group member add 1 --group Sales --subscriber alice@a.example")
    assert group in world.run("group member remove 1 --group Sales")
    assert group not in world.run("group set Sales --overflow-number 442079460001")
    assert "no line is its own yet: tandem subscriber set USER@DOMAIN --user #1" in world.run(
        "user add Max --account Alpha"
    )
    new = "it does not register until it has a password: tandem subscriber passwd eva@a.example"
    assert new in world.run("subscriber add eva@a.example --account Alpha")
    assert new not in world.run("subscriber set eva@a.example --ring-s 9")


def test_places_are_spoken_of_where_they_or_the_kind_change(demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    said = "its places count only while it is an ip_trunk"
    assert said in world.run("subscriber place add 127.0.7.1 --subscriber alice@a.example")
    assert said not in world.run("subscriber set alice@a.example --ring-s 9")
    assert said in world.run("subscriber set alice@a.example --kind trunk")
