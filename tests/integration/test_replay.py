"""`tandem replay` on the demo world: recent calls under a proposal, and under a generation that is over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kemi.adapters.redis_client import RedisClient
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tools.errors import OperatorError
from tools.replay.command import replay_calls

CALLS = (
    ("c1", "alice@a.example", "442079460001", "442071234567", "answered", 60, "out"),
    ("c2", "alice@a.example", "442079460001", "4915112345678", "failed", 0, "out"),
    ("c3", "bob@a.example", "442079460011", "442079460001", "answered", 30, "internal"),
    ("c4", "peer:acme", "4915112345678", "442079460001", "answered", 30, "in"),
    ("c5", "pbx@a.example", "442079460012", "33123456789", "answered", 61, "out"),
    ("c6", "alice@a.example", "442079460001", "112", "answered", 20, "out"),
)


@pytest.fixture
def world(demo_database: Database) -> Database:
    """Give the demo world a few calls."""
    for rid, source, caller, callee, outcome, billed_s, direction in CALLS:
        demo_database.run(
            "insert into tandem.cdr(rid, call_id, node, started_at, ended_at, direction, source, account_id, caller,"
            " callee, outcome, sip_status, billed_s)"
            " values (%s, %s || '@ua', 'node1', now() - interval '1 min', now(), %s, %s, 5, %s, %s, %s, 200, %s)",
            rid, rid, direction, source, caller, callee, outcome, billed_s,
        )  # fmt: skip
    # Its words are short, and write as the caller may.
    demo_database.run("grant usage on schema world to tandem_tool")
    demo_database.run("grant all on all tables in schema world to tandem_tool")
    return demo_database


@pytest.fixture
def replayed(world: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command with --json, with the rights of an operator's tool, and return what it says."""
    monkeypatch.setenv("DATABASE_URL", world.server.dsn(world.name, "tandem_tool"))

    def replay(against: object, calls: int = 100, at: str = "") -> Any:
        replay_calls(calls=calls, against=str(against), at=at, as_json=True)
        return json.loads(capsys.readouterr().out)

    return replay


@pytest.fixture
def proposal(tmp_path: Path) -> Any:
    """Write a file of SQL."""

    def write(text: str) -> Path:
        path = tmp_path / "proposal.sql"
        path.write_text(text)
        return path

    return write


def by_call(found: Any) -> dict[str, Any]:
    """Return the changes by Call-ID."""
    return {each["call_id"].removesuffix("@ua"): each for each in found["changes"]}


def test_a_proposal_that_changes_nothing(replayed: Any, proposal: Any) -> None:
    """Every call can be asked again: of lines with and without a password, of a peer, an emergency, an internal one."""
    found = replayed(proposal("select 1"))
    assert (found["calls"], found["skipped"], found["changed"]) == (6, 0, 0)
    assert found["before"] == "the configuration now"


def test_a_proposal_that_takes_a_carrier_away(replayed: Any, proposal: Any, world: Database) -> None:
    """Calls go elsewhere, in the order in which they would; nothing of it is in the database afterwards."""
    changes_before = world.one("select count(*) from tandem.audit")
    found = replayed(proposal("update tandem.peering_group set enabled = false where name = 'acme';"))
    changes = by_call(found)
    assert set(changes) == {"c1", "c2", "c4", "c5", "c6"}
    assert changes["c1"]["changes"] == ["carrier"]
    assert changes["c1"]["before"]["carriers"] == ["acme/acme", "blue/blue", "crown/crown"]
    assert changes["c1"]["after"]["carriers"] == ["blue/blue", "crown/crown"]
    assert changes["c4"]["changes"] == ["verdict"]
    assert changes["c4"]["after"]["verdict"] == "reject 403 relaying_denied"
    assert world.one("select enabled from tandem.peering_group where name = 'acme'") is True
    assert world.one("select count(*) from tandem.audit") == changes_before


def test_a_proposal_that_changes_prices(replayed: Any, proposal: Any) -> None:
    """By the length that the call had; one that was never answered by that of an expected one."""
    found = replayed(
        proposal(
            "select world.deck('North', 'retail', now() - interval '1 h', '44', '0.05', '49', '0.06');"
            " select world.deck('Tandem', 'deck of acme', now() - interval '1 h', '44', '0.002');"
        )
    )
    changes = by_call(found)
    assert changes["c1"]["changes"] == ["price", "cost"]
    prices = [[price["micros"] for price in changes["c1"][side]["prices"]] for side in ("before", "after")]
    assert prices == [[20_000, 8_000], [50_000, 8_000]]
    assert [changes["c1"][side]["cost"]["micros"] for side in ("before", "after")] == [3_000, 2_000]
    assert "price" in changes["c2"]["changes"]
    assert changes["c2"]["before"]["prices"][0]["micros"] == 90_000
    assert found["counts"]["verdict"] == 0


def test_a_proposal_that_refuses(replayed: Any, proposal: Any) -> None:
    """The verdict says by which level."""
    changes = by_call(replayed(proposal("update tandem.account set barred = '{33}' where name = 'Beta'")))
    assert set(changes) == {"c5"}
    assert changes["c5"]["before"]["verdict"] == "route out"
    assert changes["c5"]["after"]["verdict"].startswith("reject 403 barred at account")


@pytest.mark.parametrize(
    "text",
    [
        "update tandem.peering_group set enabled = false; commit;",
        "update tandem.peering_group set enabled = false; rollback;",
        "update tandem.peering_group set enabled = false; end; begin;",
        "update tandem.peering_group set enabled = false; do $$ begin commit; end $$",
        "do $$ begin update tandem.peering_group set enabled = false; end $replay$; commit; $$",
    ],
)
def test_a_proposal_cannot_end_the_transaction(replayed: Any, proposal: Any, world: Database, text: str) -> None:
    """Not even on purpose: what it did before is not in the database."""
    with pytest.raises(OperatorError, match="the proposal is refused: "):
        replayed(proposal(text))
    assert world.one("select bool_and(enabled) from tandem.peering_group") is True


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("delete from tandem.ledger_entry", "the proposal is refused: permission denied"),
        ("update tandem.peering_rule set callee_pattern = '('", "the proposal is refused: "),
        ("selec 1", "the proposal is refused: syntax error"),
    ],
)
def test_a_proposal_that_could_not_be_applied(replayed: Any, proposal: Any, text: str, sentence: str) -> None:
    """What the tables refuse is said in their words."""
    with pytest.raises(OperatorError, match=sentence):
        replayed(proposal(text))


def test_a_file_that_is_not_there(replayed: Any, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="is neither a generation nor a file"):
        replayed(tmp_path / "nothing.sql")


def test_who_waits_for_a_row_is_told(replayed: Any, proposal: Any, world: Database) -> None:
    """A row that somebody else is changing ends the replay after a few seconds, not the other way round."""
    with world.connect() as other, other.transaction():
        other.execute("update tandem.peering_group set priority = 4 where name = 'acme'")
        with pytest.raises(OperatorError, match="lock timeout"):
            replayed(proposal("update tandem.peering_group set enabled = false"))


def test_only_the_newest_calls(replayed: Any, proposal: Any, world: Database) -> None:
    world.run("update tandem.cdr set started_at = now() - interval '1 s' where rid = 'c5'")
    found = replayed(proposal("update tandem.account set barred = '{33}' where name = 'Beta'"), calls=1)
    assert (found["calls"], list(by_call(found))) == (1, ["c5"])


def test_at_a_time_to_come(replayed: Any, proposal: Any) -> None:
    """What begins tomorrow changes nothing of yesterday's calls, unless they are asked as of then."""
    path = proposal("select world.deck('North', 'retail', '2031-01-01T00:00Z', '44', '0.05', '49', '0.06')")
    assert replayed(path)["changed"] == 0
    assert set(by_call(replayed(path, at="2031-01-02T00:00"))) == {"c1", "c2"}


@pytest.fixture
def pair(world: Database, redis_client: RedisClient, redis_url: str) -> SyncPair:
    """Sync the world, so that it has generations."""
    made = SyncPair(world, redis_client, redis_url)
    made.once()
    return made


def generation(pair: SyncPair) -> int:
    """Note the configuration of now as a generation, as the sync does, and return its number."""
    pair.once()
    fence_and_pass = pair.sql("select max(config_pass) + 1 from tandem.generation")[0][0]
    pair.sql("insert into tandem.generation(config_pass) values (%s)", fence_and_pass)
    return int(fence_and_pass)


def test_a_generation_is_noted_by_the_sync(pair: SyncPair, replayed: Any) -> None:
    """Its number is that which explain and records tell; now nothing is different."""
    got, fence = pair.pass_and_fence()
    noted = pair.sql("select max(config_pass) from tandem.generation")[0][0]
    assert noted >> 32 == fence
    assert 0 < noted & 0xFFFFFFFF <= got
    assert replayed(noted)["changed"] == 0


def test_against_a_generation(pair: SyncPair, replayed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that were changed, made and deleted since are as they were: carriers, rules, prices, lines."""
    then = generation(pair)
    pair.sql("update tandem.peering_group set enabled = false where name = 'blue'")
    pair.sql("update tandem.peering_group set enabled = true where name = 'blue'")
    pair.sql("update tandem.peering_group set priority = 3, name = 'azure' where name = 'blue'")
    pair.sql(
        "delete from tandem.peering_rule where group_id = (select id from tandem.peering_group where name='crown')"
    )
    pair.sql("select world.carrier('dirt', '127.0.1.7', 5080, '44', '0.0001')")
    pair.sql("select world.deck('North', 'retail', now() - interval '1 h', '44', '0.05', '49', '0.06')")
    found = replayed(then)
    assert found["before"].startswith(f"generation {then} of ")
    assert found["after"] == "the configuration now"
    call = by_call(found)["c1"]
    assert call["changes"] == ["carrier", "price"]
    assert call["before"]["carriers"] == ["acme/acme", "blue/blue", "crown/crown"]
    assert call["after"]["carriers"] == ["dirt/dirt", "acme/acme", "azure/blue"]
    assert [price["micros"] for price in call["before"]["prices"]] == [20_000, 8_000]
    replay_calls(calls=100, against=str(then), at="", as_json=False)
    out = capsys.readouterr().out
    for part in ("Calls that come out otherwise", "azure/blue", "come out otherwise: ", "c1@ua"):
        assert part in out


def test_a_line_that_is_gone(pair: SyncPair, replayed: Any) -> None:
    """A deleted row comes back without its secrets, and can be asked all the same; the account table changed, too."""
    then = generation(pair)
    pair.sql("update tandem.account set barred = '{33}' where name = 'Beta'")
    pair.sql("delete from tandem.trusted_source")
    pair.sql("delete from tandem.number where e164 = '442079460001'")
    pair.sql("delete from tandem.subscriber where username = 'alice'")
    changes = by_call(replayed(then))
    assert changes["c1"]["after"]["verdict"] == "nobody is identified"
    assert changes["c1"]["before"]["verdict"] == "route out"
    assert changes["c5"]["after"]["verdict"].startswith("reject 403 barred")
    assert changes["c3"]["before"]["verdict"] == "route internal"
    assert changes["c3"]["after"]["verdict"] != "route internal"


def test_a_transaction_that_was_open_then_is_not_part_of_it(pair: SyncPair, replayed: Any, world: Database) -> None:
    """It began before the generation was noted, so its time says the contrary."""
    with world.connect() as other, other.transaction():
        other.execute("update tandem.peering_group set enabled = false where name = 'acme'")
        then = generation(pair)
    assert by_call(replayed(then))["c1"]["before"]["carriers"][0] == "acme/acme"


def test_a_proposal_writes_no_file_whoever_asks(
    replayed: Any, proposal: Any, world: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is not rolled back. The superuser's proposals run with the rights of operators' tools, too."""
    monkeypatch.setenv("DATABASE_URL", world.dsn)
    with pytest.raises(OperatorError, match="to COPY to a file"):
        replayed(proposal(f"copy (select 1) to '{tmp_path}/written'"))
    with pytest.raises(OperatorError, match="permission denied"):
        replayed(proposal("create table tandem.more(id integer)"))
    assert replayed(proposal("update tandem.peering_group set enabled = false"))["changed"] > 0


def test_a_generation_that_was_not_noted(pair: SyncPair, replayed: Any) -> None:
    """The last one before it counts, and that is said; before all of them there is none."""
    then = generation(pair)
    found = replayed(then + 7)
    assert found["notes"] == [
        f"generation {then + 7} itself is not noted: {then} is the last one before it that is",
        "what nodes remembered of servers that failed lately is not looked at",
        "draws among equal carriers: their secret is not known here (TANDEM_SECRET), so nodes draw another order",
    ]
    with pytest.raises(OperatorError, match="generation 1 is not known"):
        replayed(1)


def test_a_call_of_a_carrier_that_is_gone_cannot_be_asked(replayed: Any, proposal: Any, world: Database) -> None:
    world.run("update tandem.cdr set source = 'peer:nobody' where rid = 'c4'")
    world.run("update tandem.cdr set callee = 'a b' where rid = 'c3'")
    found = replayed(proposal("select 1"))
    assert found["calls"] + found["skipped"] == 6
    assert found["skipped"] >= 1
