"""What operators meet in every command: completion, ways to name an account and a time, headings, plurals, states."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from tests.fix_postgres import DEMO, Database, PostgresServer
from tests.import_world import ImportWorld
from tests.operator_world import OperatorWorld
from tests.settle_pair import ROOT
from tests.tenant_world import TenantWorld
from tools.cli import app
from tools.errors import OperatorError

NEXT_YEAR: Final = datetime.now(UTC).year + 1


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make the small world."""
    return OperatorWorld(database)


def said(dsn: str, *words: str, **env: str) -> str:
    """Run a command of the whole command line and return what it prints. Raises OperatorError."""
    clean = {"TANDEM_ACTOR": "eve", "DATABASE_URL": dsn, "REDIS_URL": "", "TANDEM_AS": "", "COLUMNS": "200", **env}
    result = CliRunner().invoke(app, words, env=clean, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(dsn: str, *words: str) -> str:
    """Return the sentence with which a command is refused."""
    with pytest.raises(OperatorError) as refusal:
        said(dsn, *words)
    return str(refusal.value)


def offered(dsn: str, line: str) -> list[str]:
    """Return what bash is offered at the end of a line, as typer's script for it asks."""
    env = {"DATABASE_URL": dsn, "PATH": "", "_TANDEM_COMPLETE": "complete_bash", "COMP_WORDS": line}
    at = str(line.count(" ", 0, len(line)) - line.count("\\ "))
    code = "import sys; sys.argv = ['tandem']; from tools.cli import app; app(prog_name='tandem')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**env, "COMP_CWORD": at},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tandem --vers", ["--version"]),
        ("tandem report cdr --account Al", ["Alpha"]),
        ("tandem report traffic --by d", ["day", "destination"]),
        ("tandem report traffic --by day,ca", ["day,carrier"]),
        ("tandem report balance --by m", ["month"]),
        ("tandem report margin --language f", ["fr"]),
        ("tandem account set Alpha --language r", ["ru"]),
        ("tandem export No", ["North"]),
        ("tandem audit --account Fj", ["Fjord"]),
        ("tandem audit --table subs", ["subscriber"]),
        ("tandem audit --as De", ["Delta"]),
        ("tandem account grant North carriers_o", ["carriers_own"]),
        ("tandem account revoke North domains nu", ["numbers"]),
        ("tandem account alerts Be", ["Beta"]),
        ("tandem tariff show deck", [r"deck\ of\ acme", r"deck\ of\ blue", r"deck\ of\ crown"]),
        (r"tandem tariff show deck\ of\ b", [r"deck\ of\ blue"]),
    ],
)
def test_bash_is_offered_words_that_it_can_take_as_they_are(line: str, words: list[str], demo_read: str) -> None:
    assert offered(demo_read, line) == words


def test_within_quotes_bash_is_offered_the_plain_name(demo_read: str) -> None:
    env = {"_TANDEM_COMPLETE": "complete_bash", "COMP_WORDS": "tandem tariff show 'deck of b", "COMP_CWORD": "3"}
    assert (
        CliRunner().invoke(app, [], env={**env, "DATABASE_URL": demo_read}, prog_name="tandem").output
        == "deck of blue\n"
    )


@pytest.fixture(scope="module")
def demo_read(postgres_server: PostgresServer) -> Iterator[str]:
    """Return the address of one demo world for all that only reads."""
    with postgres_server.clone(DEMO) as database:
        yield TenantWorld(database).dsn


def test_the_version_is_said_and_a_wrong_option_is_answered_with_the_nearest() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("tandem 0.")
    wrong = {"--langage": "--language", "--form": "", "--xyzzy": ""}
    for option, meant in wrong.items():
        told = CliRunner().invoke(app, ["account", "set", "Alpha", option, "fr"], env={"COLUMNS": "200"}).output
        assert f"No such option: {option}{f' (Possible options: {meant})' if meant else ''} " in told


def test_an_account_is_named_by_its_id_with_a_hash_and_without(demo_read: str) -> None:
    shown = said(demo_read, "account", "show", "5")
    for words in (("account", "show", "#5"), ("account", "show", "North/Alpha")):
        assert said(demo_read, *words) == shown
    for line in ("account rights", "account limit", "account entries", "account threshold list", "export"):
        assert said(demo_read, *line.split(), "#5") == said(demo_read, *line.split(), "5")
    for line in ("subscriber list --account", "audit --account", "account list --below", "contract list --parent"):
        assert said(demo_read, *line.split(), "#4") == said(demo_read, *line.split(), "4")
    assert said(demo_read, "number", "list", "--as", "#4") == said(demo_read, "number", "list", "--as", "Fjord")
    assert said(demo_read, "carrier", "show", "#1") == said(demo_read, "carrier", "show", "acme")


def test_every_column_has_a_heading(demo_read: str) -> None:
    first = {
        line: said(demo_read, *line.split()).splitlines()[0].split()
        for line in ("account list", "carrier list", "account alerts", "exchange list", "account entries Alpha")
    }
    assert first["account list"][-3:] == ["limit", "currency", "paying"]
    assert first["carrier list"][-2:] == ["currency", "state"]
    assert first["account alerts"] == [
        "at",
        "id",
        "account",
        "kind",
        "window",
        "value",
        "threshold",
        "currency",
        "lock",
    ]
    assert first["exchange list"] == ["1", "of", "is", "of", "from", "state"]
    assert first["account entries Alpha"][3:5] == ["amount", "currency"]


def test_what_is_set_is_shown_by_its_name(demo_database: Database) -> None:
    """Whatever `account set` and `account limit` take, `account show` and its JSON tell."""
    world = TenantWorld(demo_database)
    settable = {
        "language": "fr-CA",
        "timezone": "Europe/Paris",
        "loss-pct": "7",
        "attempts-max": "3",
        "offline-s": "60",
    }
    for option, value in settable.items():
        world.run(f"account set Alpha --{option} {value}")
    world.run("account limit Alpha --channels 3 --spend-day 5")
    lines, found = world.run("account show Alpha"), world.json("account show '#5'")
    for option, value in settable.items():
        assert f"{option.replace('-', ' '):16}{value}\n" in lines
        assert str(found[option.replace("-", "_")]) == value
    assert "channels 3, spend day 5.00\n" in lines
    assert (found["limits"]["channels"], found["limits"]["spend_day"]) == (3, "5.00")


@pytest.mark.parametrize(("typed", "stored"), [("EN", "en"), ("fr_FR", "fr-FR"), ("ru", "ru"), ("fr-ca", "fr-CA")])
def test_a_language_is_kept_in_one_spelling(typed: str, stored: str, demo_database: Database) -> None:
    world = TenantWorld(demo_database)
    world.run(f"account set Alpha --language {typed}")
    assert world.json("account show Alpha")["language"] == stored


def test_a_language_without_words_is_refused_alike_in_commands_files_and_reports(
    demo_read: str, tmp_path: Path
) -> None:
    rule = "language: 'de' is not one of en, fr, ru, with or without a region: fr-CA"
    assert refused(demo_read, "account", "set", "Alpha", "--language", "de") == rule
    assert refused(demo_read, "report", "cdr", "--from", "24h", "--language", "de") == rule
    file = tmp_path / "north.yaml"
    file.write_text("tandem: 1\naccount:\n  name: North\n  language: de\n")
    assert refused(demo_read, "apply", str(file)).endswith(f":4: account 'North': {rule}")


def test_a_wrong_name_in_a_file_is_one_fault(demo_read: str, tmp_path: Path) -> None:
    file = tmp_path / "alpha.yaml"
    row = "{username: eva, domain: nowhere.example, rewrite_set: none such}"
    file.write_text(f"tandem: 1\nbelow: North\naccount:\n  name: Alpha\n  subscribers:\n    - {row}\n")
    at = f"{file}:6: account 'Alpha', subscriber 'eva@nowhere.example'"
    assert refused(demo_read, "apply", str(file)).splitlines() == [
        f"{at}: domain: 'nowhere.example' does not exist",
        f"{at}: rewrite_set: 'none such' does not exist",
    ]


@pytest.mark.parametrize("begin", ["today", "yesterday", "90m", "24h", "7d", "2w", "2026-11-01", "2026-11-01T08:30Z"])
def test_every_command_takes_the_same_times(begin: str, demo_read: str) -> None:
    said(demo_read, "report", "cdr", "--from", begin, "--to", "now")
    said(demo_read, "account", "entries", "Alpha", "--from", begin, "--to", "now")
    said(demo_read, "account", "statement", "Alpha", "--from", begin, "--to", "now")
    said(demo_read, "account", "margin", "Alpha", "--from", begin, "--to", "now")
    said(demo_read, "audit", "--since", begin, "--until", "now")


def test_times_are_refused_and_explained_alike(demo_read: str) -> None:
    rule = "is not a date such as 2026-11-01, a date and time such as 2026-11-01T08:30, today, yesterday, 24h or 7d"
    for words, begin, end in (
        (("report", "balance", "--account", "Alpha"), "from", "to"),
        (("account", "entries", "Alpha"), "from", "to"),
        (("audit",), "since", "until"),
    ):
        assert refused(demo_read, *words, f"--{begin}", "soon") == f"{begin}: 'soon' {rule}"
        assert refused(demo_read, *words, f"--{begin}", "today", f"--{end}", "") == f"{end}: '' {rule}"
        sentence = refused(demo_read, *words, f"--{begin}", "2026-11-02", f"--{end}", "2026-11-02")
        assert sentence == f"{end}: 2026-11-02 is not after --{begin} 2026-11-02"
        told = " ".join(said(demo_read, *words[: 2 if words[0] != "audit" else 1], "--help").split())
        assert "excluded: 2026-12-01 means to the end of November" in told


def test_an_import_says_what_became_of_it(database: Database, tmp_path: Path) -> None:
    """In words for people and under a key for programs."""
    world = ImportWorld(database, tmp_path)
    for name, *lines in (
        ("now.csv", "prefix,price", "881,0.5"),
        ("later.csv", "prefix,price,from", f"882,0.5,{NEXT_YEAR}-01-01"),
        ("both.csv", "prefix,price,from", "883,0.5,", f"884,0.5,{NEXT_YEAR}-02-01"),
        ("gone.csv", "prefix,price", "885,0.5"),
    ):
        told = world.run("rates", world.file(*lines, name=name), "--tariff", "retail", "--yes")
        if name == "later.csv":
            assert f"waits from {NEXT_YEAR}-01-01T00:00:00+00:00; `tandem import undo" in told
        assert f"{'2 lines, 2 codes' if name == 'both.csv' else '1 line, 1 code'}\n" in told
    undone = world.json("list")[0]
    world.run("undo", str(undone["id"]))
    states = {row["file"]: row["state"] for row in world.json("list")}
    assert states.pop("gone.csv").startswith(f"undone {datetime.now(UTC):%Y-%m-%dT}")
    assert states == {
        "now.csv": "in force",
        "later.csv": f"waits from {NEXT_YEAR}-01-01T00:00:00+00:00",
        "both.csv": f"in force, more from {NEXT_YEAR}-02-01T00:00:00+00:00",
    }
    assert "in force" in world.run("list")


def test_a_price_below_zero_is_told_by_its_line(database: Database, tmp_path: Path) -> None:
    world = ImportWorld(database, tmp_path)
    file = world.file("prefix,price", "44,0.02", "45,-0.02", "46,(0.02)", "47,\u22120.02")
    faults = tmp_path / "faults.csv"
    assert "3 values are wrong, nothing was imported" in world.refused(
        "rates", file, "--tariff", "retail", "--errors", str(faults)
    )
    told = [line.split(",") for line in faults.read_text().splitlines()[1:]]
    assert [(row[0], row[-1]) for row in told] == [(line, "a price is not below 0") for line in ("3", "4", "5")]


def test_changes_are_told_in_amounts_and_names_of_columns(world: OperatorWorld) -> None:
    world.run("account", "limit", "Alpha", "--credit-limit", "12.5")
    assert "credit_limit: 0.00 → 12.50" in world.run("audit", "--table", "fund", "--limit", "1")


def test_one_call_is_no_one_calls(world: OperatorWorld) -> None:
    assert "(0 calls)" in world.run("account", "statement", "Alpha", "--from", "today")


def test_refusals_about_money_that_nobody_meets_twice(world: OperatorWorld) -> None:
    alpha = world.id_of("Alpha")
    world.run("account", "close", "Beta", "--yes")
    beta = world.id_of("Beta")
    assert world.refused("account", "limit", "Beta", "--channels", "1") == (
        f"account: {beta} 'Beta' is closed; its limits are history"
    )
    assert world.refused("account", "threshold", "add", "Beta", "balance", "1") == (
        f"account: {beta} 'Beta' is closed; there is nothing to watch"
    )
    assert world.refused("account", "topup", "Alpha", "1125899906.842624").startswith(
        f"amount: of account {alpha} 'Alpha' credited would be 1125899926.842624, beyond 1125899906.842624 EUR"
    )
    at = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    world.run("exchange", "set", "EUR", "USD", "1.08", "--from", at)
    assert world.refused("exchange", "set", "EUR", "USD", "1.09", "--from", at) == (
        f"from: another rate of EUR in USD begins at {at} already"
    )
    rules = ("rewrite", "country", "GB", "--set", "uk", "--account", "North")
    assert json.loads(said(world.dsn, *rules, "--json"))["set"].endswith("uk of North")
    assert refused(world.dsn, *rules).startswith("set: 'uk' has rules already (")
    assert refused(world.dsn, *rules).endswith("); --replace removes them")
