"""Events that could not be posted: shown, posted after all, or given up by a person, with a trace of it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from tests.fakes import calls
from tests.fix_postgres import Database
from tests.integration.test_settle_watch import told
from tests.settle_pair import SettlePair
from tests.telling_node import telling_node
from tools.errors import OperatorError
from tools.settle.command import app


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, armed."""
    made = SettlePair(database, redis_client, redis_url)
    made.once()
    return made


def run(pair: SettlePair, *words: str) -> Result:
    """Run `tandem settle poison …`; what an operator would read is its output."""
    result = CliRunner().invoke(app, ["poison", *words], env={"DATABASE_URL": pair.database.dsn})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def listed(pair: SettlePair) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run(pair, "list", "--json").output)
    return found


def _stranger(pair: SettlePair) -> int:
    """Set a call aside that an account pays which does not exist yet; return the event's id."""
    later_id = pair.sql("select max(id) + 1 from tandem.account")[0][0]
    pinned = calls.call("stranger", [calls.leg(1, later_id, pair.ids["North"])])
    pair.append(codec.pack(calls.settled(pinned, calls.answered(10))))
    pair.once()
    (event,) = listed(pair)
    assert event["kind"] == "settle"
    assert event["rid"] == "stranger"
    assert f"account {later_id} does not exist" in str(event["reason"])
    return int(str(event["id"]))


def test_an_event_is_posted_after_all_when_what_was_missing_is_there(pair: SettlePair) -> None:
    event_id = _stranger(pair)
    with pytest.raises(OperatorError, match="still cannot be posted"):
        run(pair, "replay", str(event_id))
    assert len(listed(pair)) == 1

    pair.sql("select world.customer('Gamma', 'North', 'retail', 5)")
    assert "2 new ledger entries" in run(pair, "replay", str(event_id), "--actor", "ann").output

    assert listed(pair) == []
    assert pair.charged()["Gamma"] == 10_000
    assert pair.posted() == 1
    assert pair.sql("select actor, before ->> 'note' from tandem.audit where table_name = 'event_poison'") == [
        ("ann", "posted")
    ]
    with pytest.raises(OperatorError, match="no event"):
        run(pair, "replay", str(event_id))


def test_an_event_that_is_given_up_stays_in_the_audit_with_its_bytes_and_the_reason(pair: SettlePair) -> None:
    pair.append(b"no event")
    pair.once()
    (event,) = listed(pair)
    shown = json.loads(run(pair, "show", str(event["id"])).output)
    assert (shown["event"], bytes.fromhex(shown["bytes"])) == (None, b"no event")
    assert run(pair, "drop", str(event["id"])).exit_code == 2, "a note is asked for"
    with pytest.raises(OperatorError, match="--note says why"):
        run(pair, "drop", str(event["id"]), "--note", " ")

    run(pair, "drop", str(event["id"]), "--note", "ticket 7", "--actor", "bob")

    assert listed(pair) == []
    (kept,) = pair.sql("select actor, action, before from tandem.audit where table_name = 'event_poison'")
    assert kept[:2] == ("bob", "delete")
    assert kept[2]["note"] == "ticket 7"
    assert kept[2]["payload"] == "\\x" + b"no event".hex()


def test_an_event_is_shown_with_the_names_of_its_fields(pair: SettlePair) -> None:
    event_id = _stranger(pair)
    shown = json.loads(run(pair, "show", str(event_id)).output)
    assert shown["event"]["call"]["legs"][0]["rate"]["per_min_micros"] == 60_000
    assert shown["event"]["end"]["billed_s"] == 10
    assert "1 event set aside" in run(pair, "list").output


def test_unreadable_events_cannot_be_replayed(pair: SettlePair) -> None:
    pair.append(b"no event")
    pair.once()
    (event,) = listed(pair)
    with pytest.raises(OperatorError, match="the bytes are not a call event"):
        run(pair, "replay", str(event["id"]))


def test_a_charge_that_is_given_up_is_a_difference_no_more(pair: SettlePair) -> None:
    """Nor does it keep Redis closed, come back with the stream, or count as lost at a recovery."""
    pair.sql("alter table tandem.cdr add constraint nobody_talks_9_s check (billed_s <> 9)")
    dropped = pair.place(9)
    pair.place(7)
    pair.once()
    (event,) = listed(pair)
    said = run(pair, "drop", str(event["id"]), "--note", "ticket 7").output
    assert f"fund {pair.ids['Alpha']}:EUR stays charged 0.009 EUR, of which" in said
    query = "select account_id, fund_n, events, amount_micros from tandem.fund_loss order by account_id"
    lost = [(pair.ids["North"], 1, 1, 4_500), (pair.ids["Alpha"], 1, 1, 9_000)]
    assert pair.sql(query) == sorted(lost)
    pair.assert_agreed()
    for again in ("with its stream", "without"):
        pair.redis.execute("DEL", keys.EPOCH)
        pair.once()
        assert (listed(pair), pair.balance("Alpha").charged_micros) == ([], 16_000), again
        pair.assert_agreed()
        pair.redis.execute("XTRIM", keys.EVENTS, "MAXLEN", 0)
    assert told(pair)["differences"] == 0
    pair.redis.execute("DEL", keys.EPOCH)
    pair.sql("insert into tandem.node(name, opseq) values ('n1', 100)")
    with telling_node(pair.redis_url):
        done = pair.rebuilt()
    assert (done["operations_lost"], done["events_lost"], done["funds"]) == (94, 0, [])
    assert pair.sql("select rid from tandem.event_dropped") == [(dropped.rid,)]
    pair.assert_agreed()


def test_an_event_whose_name_no_index_takes_is_set_aside_alone(pair: SettlePair) -> None:
    """What is too long for an index is the event's fault, not an outage: the others are posted."""
    long_name = "".join(sha256(bytes([at])).hexdigest() for at in range(200))  # does not get shorter when packed
    pinned = calls.call("long", [calls.leg(1, pair.ids["Alpha"], pair.ids["North"])])._replace(call_id=long_name)
    pair.append(codec.pack(calls.refused(pinned)))
    pair.place(7)
    pair.once()
    (event,) = listed(pair)
    assert (event["rid"], pair.charged()["Alpha"]) == ("long", 7_000)


def test_an_event_whose_name_no_text_takes_does_not_keep_redis_closed(pair: SettlePair) -> None:
    """A rebuild reads the whole stream, and asks Postgres which calls it knows."""
    pinned = calls.call("a\0b", [calls.leg(1, pair.ids["Alpha"], pair.ids["North"])])
    pair.append(codec.pack(calls.refused(pinned)))
    pair.place(7)
    pair.once()
    assert [event["rid"] for event in listed(pair)] == ["a\0b"]
    pair.redis.execute("DEL", keys.EPOCH)
    pair.once()
    assert (len(listed(pair)), pair.charged()["Alpha"]) == (1, 7_000)


@pytest.mark.parametrize("value", [{"a": 1}, [1], "1\t2", 1.5, None, b"x"])
def test_an_event_with_what_is_no_number_is_set_aside_alone(pair: SettlePair, value: Any) -> None:
    """Also where its record has text to escape, and so goes in by another way."""
    pinned = calls.call("odd", [calls.leg(1, pair.ids["Alpha"], pair.ids["North"])])._replace(caller="a\\b")
    event = calls.refused(pinned)
    pair.append(codec.pack(event._replace(end=event.end._replace(status=value))))
    pair.place(7)
    pair.once()
    assert (len(listed(pair)), pair.charged()["Alpha"]) == (1, 7_000)
