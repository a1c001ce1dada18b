"""Rate sets in Postgres: packed as workers read them, edited without being copied, retired when nothing names them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from threading import Thread
from typing import Final

import pytest

from kemi.core.prefix import BUCKET_DIGITS, pack_bucket
from tests.fix_postgres import Database
from tests.wait import until

NORTH: Final = 6  # North's retail tariff
PRICES: Final = "select prefix, per_min_micros from tandem.rate_effective where rate_set_id = %s"


def price(per_min: int) -> dict[str, int]:
    return {"per_min_micros": per_min}


def edits(prices: Mapping[str, object]) -> str:
    return json.dumps([{"prefix": prefix, "price": said} for prefix, said in prices.items()])


def in_force(database: Database, tariff: int = NORTH) -> int:
    return int(database.one("select rate_set_id from tandem.tariff where id = %s", tariff))


def prices(database: Database, rate_set: int) -> dict[str, int]:
    return dict(database.run(PRICES, rate_set))


def a_set(database: Database, rates: Mapping[str, int], tariff: int = NORTH) -> int:
    """Make a ready rate set in which a prefix costs as many micros as its class says."""
    made = database.one(
        "insert into tandem.rate_set(tariff_id, version)"
        " select %s, 1 + max(version) from tandem.rate_set where tariff_id = %s returning id",
        tariff,
        tariff,
    )
    classes = range(1 + max(rates.values()))
    database.run(
        "insert into tandem.rate_class(rate_set_id, idx, per_min_micros)"
        " select %s, n, n from unnest(%s::integer[]) as n",
        made,
        list(classes),
    )
    database.run(
        "insert into tandem.rate select %s, * from unnest(%s::text[], %s::integer[])",
        made,
        list(rates),
        list(rates.values()),
    )
    database.run("update tandem.rate_set set state = 'ready' where id = %s", made)
    return int(made)


def buckets(database: Database, rate_set: int) -> dict[str, bytes]:
    return dict(
        database.run(
            "select b.field, b.bucket from tandem.rate_ranges_v1(%s) as r,"
            " lateral tandem.rate_buckets_v1(%s, r.low, r.high) as b",
            rate_set,
            rate_set,
        )
    )


def packed(rates: Iterable[tuple[str, int]]) -> dict[str, bytes]:
    """Pack as kemi/core/prefix.py does."""
    fields: dict[str, dict[str, int]] = {}
    for prefix, index in rates:
        fields.setdefault(prefix[:BUCKET_DIGITS], {})[prefix[BUCKET_DIGITS:]] = index
    return {field: pack_bucket(suffixes) for field, suffixes in fields.items()}


def test_postgres_packs_as_the_workers_read(demo: Database) -> None:
    """Byte by byte, for prefixes of every length and classes up to the highest."""
    draw = random.Random(5)  # noqa: S311  prefixes, not secrets
    rates = {
        str(draw.randrange(10 ** (length - 1), 10**length)): draw.choice((0, 1, 255, 256, 32_768, 65_535))
        for length in range(1, 16)
        for _ in range(40)
    }
    rates |= {"4420": 7, "44200": 8, "442000": 9, "4420000": 10, "4": 1, "44": 2, "442": 3, "99999": 4}
    made = a_set(demo, rates)
    assert buckets(demo, made) == packed(rates.items())


@pytest.mark.parametrize(("copies", "ranges"), [(1, 1), (25, 90), (250, 900)])
def test_ranges_take_every_field_once(demo: Database, copies: int, ranges: int) -> None:
    """However a set is parted, its buckets are the same."""
    rates = {str(field): field % 7 for field in (1, 9, 10, 11, 99, 100, 101, 999, 1000, 1009, 1010, 1100, 9999)}
    rates |= {f"{field}{place:03}": place % 7 for field in range(1000, 1000 + copies) for place in range(1000)}
    made = a_set(demo, rates)
    assert demo.one("select count(*) from tandem.rate_ranges_v1(%s)", made) == ranges
    assert buckets(demo, made) == packed(rates.items())


def test_an_edit_shares_the_rest(demo: Database) -> None:
    """A new version holds the rows of the touched fields only; every other price is the old one."""
    before = in_force(demo)
    was = prices(demo, before)
    made = demo.one(
        "select tandem.set_rates_v1(%s, %s)",
        NORTH,
        edits({"447": price(5), "44207": price(6), "4420": price(7), "49": None}),
    )
    assert in_force(demo) == made
    assert was.pop("49")
    assert prices(demo, made) == {**was, "447": 5, "44207": 6, "4420": 7}
    assert "49" in prices(demo, before)
    assert demo.run("select prefix from tandem.rate where rate_set_id = %s order by 1", made) == [
        ("4420",), ("44207",), ("447",),
    ]  # fmt: skip
    assert set(buckets(demo, made)) == {"447", "4420", "49", "layers"}
    assert buckets(demo, made)["49"] == b""
    assert buckets(demo, made)["layers"] == str(before).encode()


def test_classes_of_an_edit_contain_those_before(demo: Database) -> None:
    """The same places mean the same price in both, so buckets of the base stay right; known prices get no new class."""
    before = in_force(demo)
    old = demo.run("select idx, price from tandem.price_classes(%s) order by idx", before)
    made = demo.one(
        "select tandem.set_rates_v1(%s, %s)", NORTH, edits({"331": old[0][1], "332": price(123), "333": price(123)})
    )
    new = demo.run("select idx, price from tandem.price_classes(%s) order by idx", made)
    assert new[: len(old)] == old
    assert [said["per_min_micros"] for _, said in new[len(old) :]] == [123]


def test_prices_in_periods_can_be_edited(demo: Database) -> None:
    """By the names of the set's periods, with everything else that a price has."""
    demo.run("select world.period('peak', 'Mon-Fri 08:00-18:00')")
    demo.run("select world.tariff('North', 'retail', 'EUR', '44', '0.02 @peak 0.05')")
    made = demo.run("select world.edit_rates('North', 'retail', '4420', '0.03 60/6 +0.01 min 0.1 @peak 0.07+0.02')")
    (said,) = demo.run(
        "select c.price from tandem.rate r join tandem.price_classes(r.rate_set_id) as c on c.idx = r.class_idx"
        " where r.rate_set_id = %s",
        made[0][0],
    )
    assert said[0] == {
        "per_min_micros": 30_000, "first_s": 60, "next_s": 6, "connect_micros": 10_000, "forbidden": False,
        "min_micros": 100_000, "periods": {"peak": {"per_min_micros": 70_000, "connect_micros": 20_000}},
    }  # fmt: skip


def test_layers_end_at_eight(demo: Database) -> None:
    """The ninth edit takes what the seven edits before it touch, and stands on the full set again."""
    full = in_force(demo)
    expected = prices(demo, full)
    for place in range(20):
        prefix = f"44{place:02}"
        demo.run("select tandem.set_rates_v1(%s, %s)", NORTH, edits({prefix: price(place)}))
        expected[prefix] = place
        layers = demo.one("select layers from tandem.rate_set where id = %s", in_force(demo))
        assert (layers[0], layers[-1], len(layers)) == (in_force(demo), full, place % 7 + 2)
        assert prices(demo, in_force(demo)) == expected


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "edits are a list of at least one prefix with its price"),
        ({"prefix": "44", "price": None}, "edits are a list of at least one prefix with its price"),
        ([{"prefix": "44"}], '{"prefix": "44"} is no edit: {"prefix": digits, "price": {…} or null}'),
        ([{"prefix": "0", "price": None}], '{"price": null, "prefix": "0"} is no edit'),
        ([{"prefix": "44", "price": {"per_minute": 1}}], "is no edit"),
        ([{"prefix": "44", "price": {}}, {"prefix": "44", "price": {}}], "prefix 44 is edited twice"),
        ([{"prefix": "4477", "price": None}], "prefix 4477 cannot be taken away: rate set"),
        ([{"prefix": "44", "price": {"periods": {"moon": {}}}}], "names a period that the set does not have"),
        ([{"prefix": "44", "price": {"first_s": 0}}], "first_s_is_1_to_3600"),
    ],
)
def test_what_cannot_be_edited(demo: Database, said: object, why: str) -> None:
    """Each wrong edit is refused whole, with a sentence."""
    assert why in demo.refused("select tandem.set_rates_v1(%s, %s)", NORTH, json.dumps(said))


def test_a_tariff_without_prices_cannot_be_edited(demo: Database) -> None:
    """There is nothing that the edit could stand on."""
    demo.run("update tandem.tariff set rate_set_id = null where id = %s", NORTH)
    why = demo.refused("select tandem.set_rates_v1(%s, %s)", NORTH, edits({"44": price(1)}))
    assert why == "tariff 6 'retail' has no prices now that could be edited"


def test_layers_made_by_hand_obey_the_rules(demo: Database) -> None:
    """A set on another one touches the fields that it has prices for, repeats its classes, and stands on few enough."""
    base = in_force(demo)

    def on(of: int) -> int:
        return int(
            demo.one(
                "insert into tandem.rate_set(tariff_id, version, base_id)"
                " select %s, 1 + max(version), %s from tandem.rate_set where tariff_id = %s returning id",
                NORTH, of, NORTH,
            )
        )  # fmt: skip

    ready = "update tandem.rate_set set state = 'ready' where id = %s"
    made = on(base)
    assert demo.refused(ready, made) == f"rate set {made} has no price class"
    demo.run("insert into tandem.rate_class(rate_set_id, idx, per_min_micros) values (%s, 0, 77)", made)
    assert "is not that of rate set" in demo.refused(ready, made)
    demo.run("delete from tandem.rate_class where rate_set_id = %s", made)
    demo.run("select tandem.copy_prices(%s, %s, '[]')", base, made)
    demo.run("insert into tandem.rate values (%s, '44207', 0)", made)
    assert demo.refused(ready, made) == f"rate set {made} has prefix 44207, whose field 4420 it does not touch"
    assert "which is not ready" in demo.refused(
        "insert into tandem.rate_set(tariff_id, version, base_id) values (6, 9, %s)", made
    )
    demo.run("insert into tandem.rate_field values (%s, '4420')", made)
    demo.run(ready, made)
    assert "is ready" in demo.refused("insert into tandem.rate_field values (%s, '49')", made)
    for _ in range(6):
        above = on(made)
        demo.run("select tandem.copy_prices(%s, %s, '[]')", made, above)
        demo.run(ready, above)
        made = above
    assert (
        demo.refused("select tandem.layers_over(0, %s)", made)
        == f"rate set {made} stands on 7 others already: a full set is due"
    )


def test_a_set_alone_touches_no_fields(demo: Database) -> None:
    """Its fields are those of its prices."""
    made = demo.one("insert into tandem.rate_set(tariff_id, version) values (%s, 99) returning id", NORTH)
    demo.run("insert into tandem.rate_class(rate_set_id, idx, per_min_micros) values (%s, 0, 77)", made)
    demo.run("insert into tandem.rate_field values (%s, '44')", made)
    why = demo.refused("update tandem.rate_set set state = 'ready' where id = %s", made)
    assert why == f"rate set {made} stands on no other and touches no fields"


def test_the_deck_in_force_takes_edits(demo: Database) -> None:
    """Of its own prices; another set still comes as another deck, and decks to come keep theirs."""
    demo.run("select world.deck('North', 'retail', now() - interval '1 day', '44', '0.5')")
    demo.run("select world.deck('North', 'retail', now() + interval '1 day', '44', '0.7')")
    decks: Final = "select valid_from, rate_set_id from tandem.tariff_deck where tariff_id = %s order by 1"
    (first, _), (later, coming) = demo.run(decks, NORTH)
    made = demo.one("select tandem.set_rates_v1(%s, %s)", NORTH, edits({"4420": price(9)}))
    assert demo.run(decks, NORTH) == [(first, made), (later, coming)]
    assert prices(demo, made) == {"44": 500_000, "4420": 9}
    why = demo.refused(
        "update tandem.tariff_deck set rate_set_id = %s where tariff_id = %s and valid_from = %s", coming, NORTH, first
    )
    assert "has been in force and stays" in why


def retire(database: Database) -> set[int]:
    """Let what nothing names retire at once; return what is retired now."""
    database.run("select tandem.retire_rate_sets_v1('0 s')")
    return {number for (number,) in database.run("select id from tandem.rate_set where retired")}


def test_what_nothing_names_retires(demo: Database) -> None:
    """After its time, with a word to the outbox; named again, it comes back with all that it stands on."""
    old = in_force(demo)
    demo.outbox()
    edited = demo.one("select tandem.set_rates_v1(%s, %s)", NORTH, edits({"44": price(1)}))
    demo.run("select world.tariff('North', 'retail', 'EUR', '44', '0.02')")
    demo.run("select tandem.retire_rate_sets_v1()")
    assert demo.run("select rate_set_id from tandem.rate_set_unused") == [(edited,)]
    assert retire(demo) == {edited}
    assert retire(demo) == {edited, old}  # nothing stands on it any more that Redis has
    names = {name for (name,) in demo.run("select name from sync.rate_set")}
    assert not names & {f"rset:{old}", f"rset:{edited}"}
    assert {("rate_set", f"rset:{old}"), ("rate_set", f"rset:{edited}")} <= demo.outbox()
    demo.run("update tandem.tariff set rate_set_id = %s where id = %s", edited, NORTH)
    assert demo.run("select id from tandem.rate_set where retired") == []
    assert demo.outbox() == {("rate_set", f"rset:{old}"), ("rate_set", f"rset:{edited}"), ("tariff", "tar:6")} | {
        pair for pair in demo.outbox() if pair[0] == "peering_group"
    }


def test_what_is_named_does_not_retire(demo: Database) -> None:
    """By a tariff, its inbound prices, a deck in force or to come, or a set that Redis has; and not before its time."""
    demo.run("select world.inbound_rates('North', 'retail', '44', '0.01')")
    demo.run("select world.deck('North', 'retail', now() + interval '1 day', '44', '0.7')")
    demo.run("select tandem.set_rates_v1(%s, %s)", NORTH, edits({"44": price(1)}))
    assert retire(demo) == set()
    unused = a_set(demo, {"44": 0})
    demo.run("select tandem.retire_rate_sets_v1()")
    demo.run("update tandem.rate_set_unused set since = now() - interval '9 minutes'")
    assert demo.one("select tandem.retire_rate_sets_v1()") == 0
    demo.run("update tandem.rate_set_unused set since = now() - interval '11 minutes'")
    assert demo.one("select tandem.retire_rate_sets_v1()") == 1
    assert demo.run("select id from tandem.rate_set where retired") == [(unused,)]


def test_an_edit_of_a_retired_set_brings_it_back(demo: Database) -> None:
    """The new set stands on it, so Redis needs both."""
    unused = a_set(demo, {"44": 0})
    assert retire(demo) == {unused}
    made = demo.one("select tandem.edit_rate_set_v1(%s, %s)", unused, edits({"44": price(5)}))
    assert demo.run("select id from tandem.rate_set where retired") == []
    assert prices(demo, made) == {"44": 5}


def test_retired_is_all_that_changes_of_a_ready_set(demo: Database) -> None:
    """Nobody makes a set that is retired from the beginning, either."""
    assert "is ready and cannot be changed" in demo.refused("update tandem.rate_set set version = 77 where id = 1")
    assert "begins as building" in demo.refused(
        "insert into tandem.rate_set(tariff_id, version, retired) values (%s, 99, true)", NORTH
    )


def test_retiring_waits_for_whoever_points_there(demo_database: Database) -> None:
    """A tariff that is being pointed to a set keeps it, though nothing named it when the retiring began."""
    before, unused = in_force(demo_database), a_set(demo_database, {"44": 0})
    demo_database.run("select tandem.retire_rate_sets_v1()")
    with demo_database.connect() as pointing, demo_database.connect() as retiring:
        with pointing.transaction():
            pointing.execute("update tandem.tariff set rate_set_id = %s where id = %s", (unused, NORTH))
            thread = Thread(target=retiring.execute, args=("select tandem.retire_rate_sets_v1('0 s')",))
            thread.start()
            waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"
            until(lambda: demo_database.one(waits, retiring.info.backend_pid), 10, "the retiring to wait")
        thread.join()
    assert demo_database.run("select id from tandem.rate_set where retired") == []
    assert retire(demo_database) == {before}
