"""Sentences with which commands refuse, word for word: those that need no server, or one that is odd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from kemi.core.pattern import Pattern
from tools import migrate, noc_ask, recover
from tools.account.find import Account
from tools.cli import app
from tools.errors import OperatorError
from tools.exchange import rate_of
from tools.explain import whatif
from tools.explain.request import Question, invite, moment_ms
from tools.imports import columns, rate_rows, source, table, words
from tools.imports.faults import Faults
from tools.national import command as national
from tools.replay.rewind import rewind
from tools.report.margin import margin
from tools.resolve.lookup import resolver_from
from tools.settle import aside, past
from tools.settle.books import Epoch
from tools.tenant import yaml_tree

Refusal = Callable[[], object]


def told(refusal: Refusal) -> str:
    """Return the sentence of a refusal."""
    with pytest.raises(OperatorError) as caught:
        refusal()
    return str(caught.value)


def run(line: str, **env: str) -> str:
    """Run a command that is refused and return its sentence."""
    clean = {"DATABASE_URL": "", "REDIS_URL": "", "TANDEM_CTL": "", "TANDEM_AS": "", **env}
    return told(lambda: CliRunner().invoke(app, line.split(), env=clean, catch_exceptions=False))


class Answers:
    """A connection that gives these answers, in order."""

    def __init__(self, *answers: Any, rowcount: int = 0) -> None:
        self._answers = iter(answers)
        self.rowcount = rowcount

    def execute(self, *_: object) -> Any:
        """Take a statement; the next answer is fetched from it."""
        return self

    def fetchone(self) -> Any:
        """Return the next answer."""
        return next(self._answers)

    def __iter__(self) -> Iterator[Any]:
        return iter(next(self._answers))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("exchange set EUR EUR 1", "quote: 'EUR' is the base; a currency needs no rate to itself"),
        ("sync --yes", "--yes allows one deliberate run and needs --once; the service never runs with it"),
        ("noc drain perhaps", "'perhaps' is neither on nor off"),
        ("rewrite country GB --set uk", "account: a rewrite set belongs to one; name it by --account"),
        ("rewrite country GB --out --prefix zero", "prefix: 'zero' is none, such as 00"),
        ("account list --database-url x", "DATABASE_URL is no address of a database (not shown here, it may hold a"),
    ],
)
def test_an_option_is_refused_before_anything_is_asked(line: str, sentence: str) -> None:
    assert run(line).startswith(sentence)


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (lambda: rate_of("0"), "rate: 0 is not above 0 and at most 9000000"),
        (lambda: moment_ms("1999-12-31"), "'1999-12-31' is too far away: the years 2000 to 2099 are known"),
        (lambda: invite(Question("alice@a.example", "")), "'' is no number, no user@domain and no SIP URI"),
        (
            lambda: columns.parse_map(["price=Rate", "price=Peak"], words.RATES),
            "--map: price is given twice",
        ),
        (
            lambda: source.delimiter_of("ab"),
            "--delimiter: 'ab' is not one character, nor tab, comma, semicolon or pipe",
        ),
        (
            lambda: source.survey(Path("x.csv"), "klingon"),
            "--encoding: 'klingon' is unknown; there are utf-8, utf-16, cp1252, cp1251, latin-1 …",
        ),
        (
            lambda: table.opened(iter([source.Row(1, ["prefix", "town"])]), rate_rows.KIND, table.Layout({})),
            "file: no column is the price or forbidden or action; say --map price=COLUMN; there are 'prefix', 'town'",
        ),
        (
            lambda: resolver_from({"TANDEM_RESOLVER": "nonsense"}),
            "TANDEM_RESOLVER: 'nonsense' is no address of a DNS server, such as 127.0.0.1:5353 or [::1]",
        ),
    ],
)  # fmt: skip
def test_a_value_is_refused_with_its_rule(refusal: Refusal, sentence: str) -> None:
    assert told(refusal) == sentence


def test_an_account_in_a_zone_that_this_machine_lacks() -> None:
    account = Account(5, "Alpha", "North", "customer", "active", "EUR", 2, 2, "Mars/Base", "none", "", 0, 0, 0)
    assert told(lambda: account.zone) == "timezone: this machine does not know 'Mars/Base'; install tzdata"


def test_a_file_that_is_not_in_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "deck.csv"
    path.write_bytes(b"prefix,price\n44,\xff\n")
    assert told(lambda: source.survey(path, "utf-8")).endswith("deck.csv' is not utf-8 throughout; say --encoding")


def test_prices_in_another_currency_than_the_tariffs() -> None:
    found = columns.find(["prefix", "Price USD"], words.RATES, {})
    reading = rate_rows.Reading("EUR", UTC)
    sentence = told(lambda: rate_rows.RateRows(table.Table(found, iter(()), 1), reading, Faults()))
    assert sentence == "currency: the column 'Price USD' is in USD, the tariff in EUR"


def test_more_prices_than_a_deck_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_rows, "PRICES_MAX", 1)
    rows = iter([source.Row(2, ["44", "0.01"]), source.Row(3, ["45", "0.02"])])
    deck = table.Table(columns.find(["prefix", "price"], words.RATES, {}), rows, 1)
    read = rate_rows.RateRows(deck, rate_rows.Reading("EUR", UTC), Faults())
    assert told(lambda: list(read)) == "file: up to line 3 it has more than the 1 different prices of a deck"


def test_a_file_that_is_too_large_to_be_a_tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_tree, "BYTES_MAX", 3)
    path = tmp_path / "tenant.yaml"
    path.write_text("tandem: 1\n")
    sentence = told(lambda: yaml_tree.read_file(path))
    assert sentence.endswith("larger than 3 bytes; import large price lists with `tandem import rates`")


def test_a_server_and_migrations_that_do_not_fit() -> None:
    old: Any = SimpleNamespace(info=SimpleNamespace(server_version=140_010))
    assert told(lambda: migrate._check_server(old)) == "PostgreSQL 14 is too old, 15 or newer is needed"
    late = [migrate.SqlFile(f"migrations/000{n}_pre_x.sql", str(n), "", "pre") for n in (1, 2)]
    sentence = told(lambda: migrate._shared_history(late, {late[1].name: "2"}))
    assert sentence == (
        "migrations/0001_pre_x.sql comes too late: migrations/0002_pre_x.sql is applied already;"
        " give it a higher number"
    )


def test_a_country_whose_numbers_no_worker_could_rewrite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(national, "compile_pattern", lambda _: Pattern(None, "too long"))
    sentence = told(lambda: national.made("GB"))
    assert sentence.startswith("country: the numbers of GB need a rule by hand: ")
    assert sentence.endswith(": too long")


def test_a_node_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noc_ask, "kamcmd", lambda *_: "")
    assert told(lambda: noc_ask.ask("/run/ctl", "calls")) == (
        "the node behind /run/ctl gave no answer to 'calls'; its log may say why"
    )


def test_a_rebuild_that_somebody_else_does_and_one_that_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover, "LEAD_DEADLINE_S", -1)
    others: Any = SimpleNamespace(lead=lambda: False)
    assert told(lambda: recover._lead(others)) == (
        "a tandem settle process is rebuilding; `tandem recover` shows how far it is"
    )

    def cut(_: object) -> None:
        raise psycopg.OperationalError("the connection is gone")

    monkeypatch.setattr(recover, "accepted", cut)
    sentence = run("recover --accept-past", DATABASE_URL="postgresql:///x", REDIS_URL="redis://127.0.0.1:1/0")
    assert sentence == "not done; run it again: the connection is gone"


def test_a_past_that_is_not_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "past", lambda *_: "")
    nothing: Any = None
    assert told(lambda: past.accept(nothing, nothing, nothing, lambda: None)) == (
        "Postgres is not in the past: nothing is to be accepted"
    )


def test_an_event_that_is_gone_and_one_at_the_wrong_time() -> None:
    gone: Any = Answers(rowcount=0)
    assert told(lambda: aside.Shelf(gone)._take(7, "eve", "")) == (
        "event 7 is not set aside any more: somebody else has seen to it"
    )
    books: Any = SimpleNamespace(epoch=lambda: Epoch(3, "building"))
    assert told(lambda: aside.Shelf(gone)._armed(books)) == ("epoch 3 is building: events are posted when it is armed")


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ((None,), "generation 7 is not known: nothing that old is noted"),
        (((6, None, ""), [], ("number",)), "generation 7 cannot be had: table number was truncated since"),
        (
            ((6, None, ""), [("number",)], None, None),
            "table number has an audit trail without a trigger that writes it",
        ),
    ],
)
def test_a_configuration_that_cannot_be_had_again(answers: tuple[Any, ...], sentence: str) -> None:
    connection: Any = Answers(*answers)
    assert told(lambda: rewind(connection, 7)) == sentence


def test_an_account_without_anybody_who_could_call() -> None:
    empty: Any = SimpleNamespace(execute=lambda *_: (b"0", []))
    assert told(lambda: whatif.subscriber_of(empty, 5)) == (
        "account 5 has no active subscriber; name a caller with --subscriber or --source"
    )


def test_a_margin_of_somebody_else() -> None:
    other: Any = SimpleNamespace(is_own=False, name="Alpha")
    nothing: Any = None
    assert told(lambda: margin(nothing, other, nothing, ())) == (
        "account: the margin of 'Alpha' is known to it alone; see --account of your own"
    )
