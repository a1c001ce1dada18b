"""`tandem report`: each account reads its calls, prices and money, agreeing with the ledger, and nothing of others'."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import psycopg
import pytest

from kemi.records import Attempt, Rate
from tests.fakes import calls
from tests.fix_postgres import Database
from tests.report_world import PRICES, ReportWorld
from tools.errors import OperatorError
from tools.explain.command import explain
from tools.report.tongue import ENGLISH
from tools.report.writers import ROWS_SHOWN

BOOKS: Final = {"earned": ("income", 1), "paid": ("fund", -1), "cost": ("cost", -1)}
LEDGER: Final = """
select e.book, e.currency, sum(e.amount_micros)::text
  from tandem.ledger_entry e join tandem.cdr c on c.rid = e.rid
 where e.account_id = %s and c.ended_at >= %s and c.ended_at < %s
 group by e.book, e.currency
"""
MANY: Final = """
insert into tandem.cdr(rid, call_id, node, started_at, answered_at, ended_at, direction, source, account_id, caller,
                       callee, outcome, sip_status, talk_ms, billed_s)
select 'many' || n, n || '@ua', 'n1', t.at, t.at, t.at, 'out', 'alice@a.example', %(account)s, '442079460001',
       '44207' || n, 'answered', 200, 1000, 1
  from generate_series(%(first)s::integer, %(last)s::integer) as n
  cross join lateral (select '2026-03-01T00:00Z'::timestamptz + n * interval '1 second' as at) as t
"""
ALL: Final = ("Tandem", "North", "Alpha", "Fjord", "Gamma", "South", "Delta")


@pytest.fixture
def world(database: Database) -> Iterator[ReportWorld]:
    """Make the tree."""
    made = ReportWorld(database)
    yield made
    made.close()


def scene(world: ReportWorld) -> None:
    """Let there be a call of each kind: over both carriers, from a deep line, within the cell, in, refused."""
    own, acme = world.servers["own"], world.servers["acme"]
    failed = Attempt(own, 503, calls.STARTED_MS, calls.STARTED_MS + 300)
    took = Attempt(acme, 200, calls.STARTED_MS + 300, calls.STARTED_MS + 2_000, 1_500)
    world.settle(world.call("out", "Alpha", "own", "acme"), 61, failed, took)
    world.settle(world.call("owned", "Alpha", "own", day=1), 30, Attempt(own, 200, pdd_ms=500))
    world.settle(world.call("deep", "Gamma", "acme"), 45)
    world.settle(world.call("beside", "Delta", "acme"), 20)
    within = world.call("within", "Alpha", direction="internal", callee="442079460011", hidden=True)
    legs = tuple(leg._replace(rate=Rate(0)) for leg in within.legs)
    called = [leg._replace(rate=Rate(leg.rate.per_min_micros // 10)) for leg in world.legs("Gamma", 3)]
    world.settle(within._replace(legs=(*legs, *called)), 10)
    inwards = world.call("in", "Alpha", direction="in", source="peer:acme", caller="33140000000", hidden=True)
    world.settle(inwards._replace(legs=tuple(leg._replace(rate=Rate(0)) for leg in inwards.legs)), 7)
    refused = world.call("refused", "Alpha", "acme")
    world.post(calls.refused(refused, 402, "no_credit"))


def by_rid(found: Any) -> dict[str, Any]:
    """Return the rows of a cdr report by their rid."""
    return {row["rid"]: row for row in found["rows"]}


def test_an_account_reads_its_own_prices_and_those_directly_below(world: ReportWorld) -> None:
    """North: what it pays in its own money, what Alpha and Fjord pay it, what its own carrier costs; no more."""
    scene(world)
    rows = by_rid(world.json("cdr", as_account="North"))
    assert set(rows) == {"out", "owned", "deep", "within", "in", "refused"}
    paid, sold = PRICES["North"] * 61 / 60 * 0.912345679, PRICES["Alpha"] * 61 / 60
    assert abs(Decimal(rows["out"]["paid"]["EUR"]) * 1_000_000 - Decimal(paid)) <= 2
    assert abs(Decimal(rows["out"]["sold"]["EUR"]) * 1_000_000 - Decimal(sold)) <= 1
    assert rows["out"]["cost"] == {}  # acme is the root's
    assert rows["owned"]["cost"] == {"EUR": "0.005005"}
    assert (rows["owned"]["carrier"], rows["out"]["carrier"]) == ("own", "")
    assert rows["out"]["account"] == "Alpha"
    assert rows["out"]["prefix"] == "44"


def test_of_a_line_that_is_not_seen_no_number_is_read(world: ReportWorld) -> None:
    """Fjord shares nothing: North pays for Gamma's call, and learns where it went, from Fjord."""
    scene(world)
    deep = by_rid(world.json("cdr", as_account="North"))["deep"]
    assert (deep["account"], deep["caller"], deep["source"], deep["call_id"]) == ("Fjord", "", "", "")
    assert (deep["callee"], deep["talk_ms"]) == ("442071838750", 45_000)
    assert list(deep["sold"]) == ["EUR"]
    world.database.run("update tandem.account set share_children = true where name = 'Fjord'")
    deep = by_rid(world.json("cdr", as_account="North"))["deep"]
    assert (deep["account"], deep["caller"], deep["source"]) == ("Gamma", "442079460001", "gil@a.example")
    assert deep["sold"] == {"EUR": "0.037503"}  # what Fjord pays; what Gamma pays Fjord is Fjord's


def test_the_called_reads_no_caller_who_hides(world: ReportWorld) -> None:
    """Nor that he is a tenant of the same platform, nor what he pays; a carrier that brought a call has no name."""
    scene(world)
    rows = by_rid(world.json("cdr", as_account="Gamma"))
    within = rows["within"]
    assert (within["direction"], within["caller"], within["source"], within["account"]) == (
        "in",
        "anonymous",
        "",
        "Gamma",
    )
    assert within["paid"] == {"EUR": "0.001334"}
    inwards = by_rid(world.json("cdr", as_account="Alpha"))["in"]
    assert (inwards["caller"], inwards["source"], inwards["carrier"]) == ("anonymous", "", "")
    out = by_rid(world.json("cdr", as_account="Alpha"))["within"]
    assert (out["direction"], out["caller"], out["source"]) == ("internal", "442079460001", "alice@a.example")


def test_nobody_reads_calls_of_others(world: ReportWorld) -> None:
    """Beside there is nothing, above there is nothing, and an account that is not seen is not there."""
    scene(world)
    assert set(by_rid(world.json("cdr", as_account="South"))) == {"beside"}
    assert set(by_rid(world.json("cdr"))) == {"out", "owned", "deep", "beside", "within", "in", "refused"}
    for other in ("Alpha", "North", "Tandem", "Nobody", "Gamma"):
        for command in ("cdr", "margin", "traffic", "balance"):
            with pytest.raises(OperatorError) as refusal:
                world.run(command, "--account", other, as_account="South")
            assert str(refusal.value) == f"account: '{other}' does not exist"


def test_carriers_above_are_named_by_grant_alone(world: ReportWorld) -> None:
    """And what they cost stays with their owner."""
    scene(world)
    assert {row["carrier"] for row in world.json("cdr", as_account="Alpha")["rows"]} == {""}
    for name in ("North", "Alpha"):
        world.database.run(
            "insert into tandem.account_grant(account_id, right_name) values (%s, 'carriers_seen')", world.ids[name]
        )
    rows = by_rid(world.json("cdr", as_account="Alpha"))
    assert (rows["out"]["carrier"], rows["owned"]["carrier"], rows["out"]["cost"]) == ("acme", "own", {})


def test_an_unreachable_called_is_one_answer(world: ReportWorld) -> None:
    """Whether he has no phone there, or no money, the caller does not read."""
    for rid, reason in (("a", "offline"), ("b", "called_suspended"), ("c", "called_unavailable"), ("d", "called_busy")):
        world.post(calls.refused(world.call(rid, "Alpha", direction="internal"), 480, reason))
    found = {row["rid"]: row["reason"] for row in world.json("cdr", as_account="Alpha")["rows"]}
    assert found == {
        "a": "called_unavailable",
        "b": "called_unavailable",
        "c": "called_unavailable",
        "d": "called_busy",
    }


def test_a_report_and_an_explanation_tell_alike(
    world: ReportWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two ways to the same call, one in SQL and one in Python: whoever reads it in one reads the same in the other."""
    scene(world)
    world.post(calls.refused(world.call("offline", "Alpha", direction="internal"), 480, "offline"))
    monkeypatch.setenv("DATABASE_URL", world.dsn)
    every = sorted(by_rid(world.json("cdr")))
    for reader in ALL[1:]:
        rows = by_rid(world.json("cdr", as_account=reader))
        for rid in every:
            call_id = f"{rid}@caller.example"
            if rid not in rows:
                with pytest.raises(OperatorError, match="is settled: it runs still, or it never came here"):
                    explain(call_id=call_id, as_account=reader)
                continue
            explain(call_id=call_id, as_account=reader, as_json=True)
            (told,) = json.loads(capsys.readouterr().out)
            for field in ("caller", "callee", "source", "direction", "reason", "outcome", "talk_ms"):
                assert told[field] == rows[rid][field], (reader, rid, field)


def test_a_new_parent_reads_the_calls_since_it_is_one(
    world: ReportWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls that began before are told by no way to whom they were no affair; the account reads on what it read."""
    scene(world)
    monkeypatch.setenv("DATABASE_URL", world.dsn)
    made = {name: set(by_rid(world.json("cdr", as_account=name))) for name in ("Alpha", "North", "South")}
    assert made["Alpha"]
    world.database.run("delete from tandem.subscriber where username = 'alice'")  # its domain stays North's
    world.database.run(
        "update tandem.account set parent_id = a.id,"
        " tariff_id = (select id from tandem.tariff t where t.account_id = a.id and t.name = 'retail')"
        " from tandem.account a where a.name = 'South' and account.name = 'Alpha'"
    )
    assert set(by_rid(world.json("cdr", as_account="South"))) == made["South"]
    assert world.json("cdr", "--account", "Alpha", as_account="South")["rows"] == []
    assert world.json("traffic", "--account", "Alpha", as_account="South")["rows"] == []
    for rid in made["Alpha"]:
        with pytest.raises(OperatorError, match="is settled: it runs still, or it never came here"):
            explain(call_id=f"{rid}@caller.example", as_account="South")
    assert set(by_rid(world.json("cdr", as_account="Alpha"))) == made["Alpha"]
    former = by_rid(world.json("cdr", as_account="North"))
    assert {"out", "owned"} <= set(former)  # it paid for them and was paid
    assert (former["out"]["caller"], former["out"]["account"]) == ("", "")
    world.database.run("update tandem.visibility set since = '2000-01-01' where since is not null")
    assert set(by_rid(world.json("cdr", "--account", "Alpha", as_account="South"))) == made["Alpha"]
    explain(call_id="out@caller.example", as_account="South", as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["source"] == "alice@a.example"


def test_totals_are_those_of_the_ledger_to_the_micro(world: ReportWorld) -> None:
    """For every account and currency: a hundred calls, some in parts or corrected by a late end; one account moves."""
    scene(world)
    chance = random.Random(7)  # noqa: S311  no secret
    for n in range(100):
        customer = chance.choice(("Alpha", "Gamma", "Delta"))
        carriers = ("acme",) if customer == "Delta" else (chance.choice(("acme", "own")),)
        call = world.call(f"call-{n}", customer, *carriers, day=chance.randrange(40))
        talk_s = chance.randrange(1, 5_000)
        if n % 5 == 0:
            world.part(call, talk_s // 2, seq=1)
            world.settle(call, talk_s, before_s=talk_s // 2, seq=2)
        else:
            world.settle(call, talk_s)
        if n % 7 == 0:
            world.post(calls.late(call, world.ended(call, talk_s + chance.randrange(100))))
    retail = "(select id from tandem.tariff t where t.account_id = a.id and t.name = 'retail')"
    world.database.run("delete from tandem.subscriber where username = 'alice'")  # its domain stays North's
    world.database.run(  # Alpha is South's from now on; what it paid North stays North's
        f"update tandem.account set parent_id = a.id, tariff_id = {retail} from tandem.account a"  # noqa: S608
        " where a.name = 'South' and account.name = 'Alpha'"
    )
    periods = (("2026-01-01", "2027-01-01"), ("2026-02-10", "2026-02-20"))
    for name in ALL:
        for since, until in periods:
            _agrees(world, name, since, until)


def _agrees(world: ReportWorld, name: str, since: str, until: str) -> None:
    """Fail unless the margin and the calls of an account are what the ledger has for the calls of that time."""
    words = ("--from", f"{since}T00:00Z", "--to", f"{until}T00:00Z")
    ledger = {
        (book, code): int(sum_)
        for book, code, sum_ in world.database.run(LEDGER.encode(), world.ids[name], since, until)
    }
    acting = "" if name == "Tandem" else name
    found = world.json("margin", *words, as_account=acting)["totals"]
    listed = world.json("cdr", *words, as_account=acting)["totals"] | {"earned": {}}
    listed["earned"] = listed["sold"]
    for key, (book, sign) in BOOKS.items():
        expected = {code: sign * micros for (of, code), micros in ledger.items() if of == book and micros}
        for said in (found, listed):
            micros = {code: int(Decimal(amount) * 1_000_000) for code, amount in said[key].items()}
            assert {code: value for code, value in micros.items() if value} == expected, (name, since, key)


def test_a_margin_is_known_to_its_owner_alone(world: ReportWorld) -> None:
    """Not to the parent, who sees the account and its prices; the platform sees all."""
    scene(world)
    with pytest.raises(OperatorError, match="the margin of 'Fjord' is known to it alone"):
        world.run("margin", "--account", "Fjord", as_account="North")
    own = world.json("margin", as_account="Fjord")
    assert world.json("margin", "--account", "Fjord")["rows"] == own["rows"]
    (row,) = own["rows"]
    assert Decimal(row["margin"]["EUR"]) == Decimal(row["earned"]["EUR"]) - Decimal(row["paid"]["EUR"])
    lines = world.json("margin", "--by", "day,destination", "--by", "account,carrier", as_account="North")["rows"]
    assert {line["account"] for line in lines} == {"Alpha", "Fjord"}
    assert {line["carrier"] for line in lines} == {"", "own"}
    assert {line["day"] for line in lines} == {"2026-02-02", "2026-02-03"}


def test_traffic_is_counted_by_call_and_by_try(world: ReportWorld) -> None:
    """Six calls of North, one of them refused; own was tried twice and took one."""
    scene(world)
    (line,) = world.json("traffic", as_account="North")["rows"]
    assert (line["attempts"], line["answered"], line["asr"]) == (6, 5, "0.833")
    assert line["acd_s"] == str((Decimal(61 + 30 + 45 + 10 + 7) / 5).quantize(Decimal("0.1")))
    assert line["pdd_s"] == "1.0"  # 1.5 s and 0.5 s
    tried = {row["carrier"]: row for row in world.json("traffic", "--by", "carrier", as_account="North")["rows"]}
    assert (tried["own"]["attempts"], tried["own"]["answered"], tried["own"]["talk_min"]) == (2, 1, "0.500")
    assert (tried[""]["attempts"], tried[""]["answered"]) == (5, 4)
    mine = {row["carrier"]: row["attempts"] for row in world.json("traffic", "--by", "carrier")["rows"]}
    assert mine == {"": 3, "acme": 3, "own": 2}
    by_day = world.json("traffic", "--by", "day", as_account="North")["rows"]
    assert [(row["day"], row["attempts"]) for row in by_day] == [("2026-02-02", 5), ("2026-02-03", 1)]
    places = {
        row["prefix"]: row["destination"]
        for row in world.json("traffic", "--by", "destination", as_account="North")["rows"]
    }
    assert places["44"] == "Royaume-Uni"


def test_a_balance_leads_from_its_opening_to_its_closing(world: ReportWorld) -> None:
    """Day by day, and what there is now; another currency's fund is a line of its own."""
    scene(world)
    world.database.run("select tandem.move_v1(%s, -1500000, 'adjust', 'n', 'eve')", world.ids["Alpha"])
    world.database.run("select tandem.move_v1(%s, 2500000, 'credit', 'n', 'eve')", world.ids["Alpha"])
    found = world.json("balance", as_account="North")
    alpha = world.json("balance", "--account", "Alpha", as_account="North")
    (row,) = alpha["rows"]
    assert (row["opening"], row["credited"], row["debited"]) == ({"EUR": "0.00"}, {"EUR": "22.50"}, {"EUR": "-1.50"})
    for name, report in (("North", found), ("Alpha", alpha)):
        entries = "select sum(amount_micros)::bigint from tandem.ledger_entry where account_id = %s and book = 'fund'"
        micros = world.database.one(entries.encode(), world.ids[name])
        assert Decimal(report["totals"]["closing"]["EUR"]) * 1_000_000 == micros
    assert world.json("balance", "--by", "month", as_account="Alpha")["rows"][0]["month"] == alpha["rows"][0]["day"][:7]
    later = world.json("balance", "--by", "month", "--from", "2030-01-01", "--to", "2030-02-01", as_account="Alpha")
    assert later["rows"] == [
        {"month": None, "currency": "EUR", "opening": later["totals"]["closing"], "credited": {"EUR": "0.00"},
         "debited": {"EUR": "0.00"}, "charged": {"EUR": "0.00"}, "calls": 0, "closing": alpha["totals"]["closing"]},
    ]  # fmt: skip
    with pytest.raises(OperatorError, match=r"has no fund; say --account with one below it$"):
        world.run("balance")


def test_a_new_parent_reads_the_balance_that_came_along(world: ReportWorld) -> None:
    """As one figure, and no calls of before; the account itself reads how it came to be."""
    scene(world)
    world.database.run("delete from tandem.subscriber where username = 'alice'")  # its domain stays North's
    world.database.run(
        "update tandem.account set parent_id = a.id,"
        " tariff_id = (select id from tandem.tariff t where t.account_id = a.id and t.name = 'retail')"
        " from tandem.account a where a.name = 'South' and account.name = 'Alpha'"
    )
    own = world.json("balance", as_account="Alpha")
    assert own["rows"][0]["calls"]
    (row,) = world.json("balance", "--account", "Alpha", as_account="South")["rows"]
    assert (row["day"], row["calls"], row["charged"]) == (None, 0, {"EUR": "0.00"})
    assert row["opening"] == row["closing"] == own["totals"]["closing"]


def test_a_report_speaks_the_language_of_its_account(world: ReportWorld) -> None:
    """North is French and in Paris; whoever asks may ask for another language, with a region or without."""
    scene(world)
    french = world.run("cdr", as_account="North")
    for text in (
        "Appels\xa0: ",
        "Europe/Paris",
        "Début",
        "abouti",
        "0,005005 EUR",
        "6 appels",
        "2 févr. 2026, 03:40:00",
    ):
        assert text in french, french
    russian = world.run("traffic", "--language", "ru", "--by", "destination", as_account="North")
    for text in ("Трафик: ", "Великобритания", "Итого", "Доля отвеченных", " до "):
        assert text in russian, russian
    english = world.run("margin", "--language", "en-GB", as_account="North")
    assert "Margin: " in english
    assert "Carrier cost: 0.005005 EUR" in english
    with pytest.raises(OperatorError, match="language: 'de' is not one of en, fr, ru"):
        world.run("cdr", "--language", "de")
    world.database.run("update tandem.account set language = 'de' where name = 'North'")
    assert "Calls: " in world.run("cdr", as_account="North")


def test_a_table_says_what_is_not_there(world: ReportWorld) -> None:
    """A report without rows says so; a line of nothing has a name; an outcome is words, not a key."""
    for command in ("cdr", "margin", "traffic"):
        told = world.run(command, "--language", "en", as_account="Delta").splitlines()
        assert (len(told), told[2]) == (3, "0 rows"), told
    scene(world)
    lines = world.run("traffic", "--by", "carrier", "--language", "en", as_account="North").splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["Carrier", "(none)", "own", "Total"]
    assert lines[-1].split()[1:] == ["7", "5", "71.4%", "30.6", "1.0", "2.55", "2.55"]
    world.database.run("update tandem.cdr set outcome = 'unknown_end' where rid = 'owned'")
    assert " unknown end " in world.run("cdr", "--language", "en", as_account="North")


def test_totals_have_the_keys_and_units_of_the_rows(world: ReportWorld) -> None:
    """One line for all is what the totals of many are."""
    scene(world)
    (whole,) = world.json("traffic", as_account="North")["rows"]
    assert world.json("traffic", "--by", "day,account", as_account="North")["totals"] == whole


def test_amounts_of_a_column_have_equally_many_decimals(world: ReportWorld) -> None:
    """As many as the longest of them, so that their points stand below each other."""
    scene(world)
    told = world.run("margin", "--by", "day", "--language", "en", as_account="North").splitlines()
    amounts = [re.findall(r"([-\d,.]+) EUR", line) for line in told[3:-4]]
    assert len(amounts) > 1
    assert "0.000000" in amounts[0]
    for column in zip(*amounts, strict=True):
        assert len({len(amount.partition(".")[2]) for amount in column}) == 1, told


def test_csv_is_for_spreadsheets(world: ReportWorld) -> None:
    """Stable headings unless a language is asked for, a currency beside each amount, and no text that is a formula."""
    world.settle(world.call("evil", "Alpha", "acme", caller='=cmd|" /C calc"!A0'), 5)
    rows = list(csv.DictReader(io.StringIO(world.run("cdr", "--csv", as_account="North"))))
    assert rows[0]["caller"] == '\'=cmd|" /C calc"!A0'
    assert (rows[0]["sold"], rows[0]["sold_currency"], rows[0]["cost"]) == ("0.005001", "EUR", "")
    assert re.fullmatch(r"2026-02-02T03:4\d:\d\d\.\d{3}\+01:00", rows[0]["ended_at"])
    headings = world.run("cdr", "--csv", "--language", "fr", as_account="North").splitlines()[0]
    assert headings.startswith("Début,Décroché,Fin,Sens,")
    with pytest.raises(OperatorError, match="--csv and --json are two outputs"):
        world.run("cdr", "--csv", "--json")


def test_many_calls_need_no_more_memory_than_few(world: ReportWorld) -> None:
    """Ten times the rows come through the same few; a table shows the first and says how many there are."""
    _insert(world, 1, 1_500)
    few = _peak(world)
    _insert(world, 1_501, 15_000)
    assert _peak(world) < few * 1.5 + 500_000
    told = world.run("cdr", "--language", ENGLISH, as_account="North")
    assert f"{ROWS_SHOWN:,} of 15,000 rows are shown" in told
    assert "15,000 calls" in told
    assert len(told.splitlines()) < ROWS_SHOWN + 10


def _insert(world: ReportWorld, first: int, last: int) -> None:
    world.database.connection.execute(MANY, {"account": world.ids["Alpha"], "first": first, "last": last})


def _peak(world: ReportWorld) -> int:
    """Return the most memory that a report in JSON took, besides what it printed."""
    tracemalloc.start()
    printed = world.run("cdr", "--json", as_account="North")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - 4 * len(printed)  # the runner keeps bytes and text of the output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("cdr", "--from", "last year"), "from: 'last year' is not a date such as 2026-11-01"),
        (("cdr", "--to", "2020-01-01"), "to: 2020-01-01 is not after --from 2026-01-01"),
        (("traffic", "--by", "moon"), "by: 'moon' is not one of day, destination, account, carrier"),
        (("margin", "--by", "day,moon"), "by: 'moon' is not one of day, destination, account, carrier"),
        (("balance", "--account", "Alpha", "--by", "year"), "by: 'year' is not one of day, month"),
        (("cdr", "--account", "Nobody"), "account: 'Nobody' does not exist"),
    ],
)
def test_what_is_wrong_is_said(world: ReportWorld, words: tuple[str, ...], sentence: str) -> None:
    """One sentence with the field, the value and the rule."""
    with pytest.raises(OperatorError) as refusal:
        world.run(*words)
    assert sentence in str(refusal.value)


def test_the_doors_ask_who_acts(world: ReportWorld) -> None:
    """Without an acting account there is an error, never an empty answer; calls themselves are read by no tenant."""
    act = "select tandem.act_as_v1(%s, 'a test')"
    for query in ("select * from tandem.calls_v1(1, now(), now())", "select * from tandem.tries_v1(1, now(), now())"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no acting account"):
            _as_tenant(world, query)
    for query in ("select * from tandem.cdr", "select * from tandem.cdr_attempt"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            _as_tenant(world, query, act)


def _as_tenant(world: ReportWorld, query: str, before: str = "select %s") -> None:
    with psycopg.connect(world.dsn) as tool:
        tool.execute(before.encode(), (world.ids["North"],))
        tool.execute("set local role tandem_tenant")
        tool.execute(query.encode())
