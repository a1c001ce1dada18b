"""`tandem rewrite country`: national rules into a rewrite set, with the rights of an operator's command."""

from __future__ import annotations

import json
from typing import Any

import phonenumbers
import pytest
from typer.testing import CliRunner

from tests.fix_postgres import Database
from tests.operator_world import OperatorWorld
from tools.errors import OperatorError
from tools.national.command import made, rewrite

RULES = "select side, priority, pattern, replacement from tandem.rewrite_rule order by side, priority"


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make the small world."""
    return OperatorWorld(database)


def run(world: OperatorWorld, *words: str) -> str:
    env = {"TANDEM_ACTOR": "eve", "DATABASE_URL": world.dsn}
    result = CliRunner().invoke(rewrite, words, env=env, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(world: OperatorWorld, *words: str) -> str:
    with pytest.raises(OperatorError) as refusal:
        run(world, *words)
    return str(refusal.value)


def rules(world: OperatorWorld) -> list[tuple[Any, ...]]:
    return world.database.run(RULES.encode())


def test_rules_are_written_into_a_set_and_the_audit_names_who(world: OperatorWorld) -> None:
    said = run(world, "country", "DE", "--set", "German", "--account", "North", "--out")
    assert "10 rules, written into rewrite set" in said
    assert sorted(rules(world)) == sorted(rule[:4] for rule in made("DE", out=True))
    assert world.database.run(
        "select s.name, a.name from tandem.rewrite_set s join tandem.account a on a.id = s.account_id"
    ) == [("German", "North")]
    actors = "select distinct actor from tandem.audit where table_name in ('rewrite_set', 'rewrite_rule')"
    assert world.database.run(actors.encode()) == [("eve",)]


def test_a_dry_run_and_one_without_a_set_write_nothing(world: OperatorWorld) -> None:
    assert r"^0([1-9]" in run(world, "country", "DE", "--dry-run", "--set", "German", "--account", "North")
    assert "--set does it" in run(world, "country", "IT")
    assert json.loads(run(world, "country", "it", "--json"))["country"] == "IT"
    assert rules(world) == []
    assert world.database.run("select from tandem.rewrite_set") == []


def test_rules_that_are_there_stay_unless_they_are_to_give_way(world: OperatorWorld) -> None:
    """Nothing is half written: the refusal leaves the set as it was. Other sides are left alone."""
    words = ("country", "DE", "--set", "dialled", "--account", "North")
    run(world, *words, "--out")
    before = rules(world)
    assert "callee_in" in refused(world, *words)
    assert rules(world) == before
    run(world, "country", "HU", "--set", "dialled", "--account", "North", "--replace")
    after = rules(world)
    assert {row for row in after if row[0].endswith("_out")} == {row for row in before if row[0].endswith("_out")}
    assert sorted(row for row in after if row[0].endswith("_in")) == sorted(rule[:4] for rule in made("HU"))
    assert world.database.one("select count(*) from tandem.rewrite_set") == 1


def test_what_is_wrong_is_said(world: OperatorWorld) -> None:
    assert "--account" in refused(world, "country", "DE", "--set", "German")
    assert "Nobody" in refused(world, "country", "DE", "--set", "German", "--account", "Nobody")
    assert "two letters" in refused(world, "country", "Atlantis")
    assert "prefix" in refused(world, "country", "DE", "--out", "--prefix", "0a")
    assert rules(world) == []


def test_every_country_can_be_stored(world: OperatorWorld) -> None:
    """Postgres takes each pattern and replacement that the workers take."""
    found = []
    for number, region in enumerate(sorted(phonenumbers.SUPPORTED_REGIONS), 1):
        found += [(number, *rule[:4]) for rule in made(region, out=True, prefix="00")]
    with world.database.connection.transaction():
        world.database.run(
            "insert into tandem.rewrite_set(account_id, name) overriding system value"
            " select (select id from tandem.account where name = 'North'), n::text"
            " from generate_series(1, %s) as n order by n",
            max(row[0] for row in found),
        )
        first = world.database.one("select min(id) from tandem.rewrite_set")
        with world.database.connection.cursor() as cursor:
            cursor.executemany(
                "insert into tandem.rewrite_rule(rewrite_set_id, side, priority, pattern, replacement)"
                " values (%s, %s, %s, %s, %s)",
                [(first + number - 1, *rest) for number, *rest in found],
            )
    assert len(rules(world)) == len(found)
