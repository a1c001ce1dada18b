"""Price lists out of rate sets, and new rate sets out of price lists.

A set that stands on others is read as calls see it: per field the newest layer that has it decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tools.session import Connection
from tools.tenant.described import IMPORTED
from tools.tenant.prices import Period, PeriodPrice, Price, PriceList
from tools.tenant.week import merged

RATES_MAX: Final = 2_000  # rates of a list that a file says; longer ones are imported

_LAYERS: Final = """
with layer as (
  select s.id as of_set, l.id, l.place
    from tandem.rate_set s
    cross join lateral unnest(case when s.layers = '{}' then array[s.id] else s.layers end)
                       with ordinality as l(id, place)
   where s.id = any (%(sets)s)
)
"""
_SIZES: Final = """
select layer.of_set, count(*)
  from layer cross join lateral (select from tandem.rate r where r.rate_set_id = layer.id limit %(most)s) as r
 group by layer.of_set having count(*) >= %(most)s
"""
_RATES: Final = """
select layer.of_set, r.prefix, r.class_idx
  from layer join tandem.rate r on r.rate_set_id = layer.id
 where not exists (select from layer n join tandem.rate_field f on f.rate_set_id = n.id and f.field = left(r.prefix, 4)
                    where n.of_set = layer.of_set and n.place < layer.place)
"""
_CLASSES: Final = """
select c.rate_set_id, c.idx, c.per_min_micros, c.first_s, c.next_s, c.connect_micros, c.min_micros, c.forbidden
  from tandem.rate_class c where c.rate_set_id = any (%(sets)s)
"""
_PERIODS: Final = """
select p.rate_set_id, p.idx, p.name, array(select array[lower(s), upper(s)] from unnest(p.spans) as s)
  from tandem.rate_period p where p.rate_set_id = any (%(sets)s) order by p.rate_set_id, p.idx
"""
_PERIOD_PRICES: Final = """
select p.rate_set_id, p.class_idx, w.name, p.per_min_micros, p.connect_micros
  from tandem.rate_class_period p
  join tandem.rate_period w on w.rate_set_id = p.rate_set_id and w.idx = p.period_idx
 where p.rate_set_id = any (%(sets)s) order by w.name collate "C"
"""
_NEW_SET: Final = """
insert into tandem.rate_set(tariff_id, version)
select %(tariff)s, 1 + coalesce(max(s.version), 0) from tandem.rate_set s where s.tariff_id = %(tariff)s
returning id
"""
_NEW_CLASS: Final = """
insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s, next_s, connect_micros, min_micros, forbidden)
values (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_NEW_PERIOD: Final = """
insert into tandem.rate_period(rate_set_id, idx, name, spans)
select %s, %s, %s, array(select int4range(s.first, s.last) from unnest(%s::int[], %s::int[]) as s(first, last))
"""
_NEW_PERIOD_PRICE: Final = """
insert into tandem.rate_class_period(rate_set_id, class_idx, period_idx, per_min_micros, connect_micros)
values (%s, %s, %s, %s, %s)
"""
_NEW_RATES: Final = """
insert into tandem.rate(rate_set_id, prefix, class_idx) select %s, r.* from unnest(%s::text[], %s::int[]) as r
"""


def read(connection: Connection, sets: Sequence[int], rates_max: int) -> Mapping[int, PriceList | str]:
    """Return rate set -> its price list, or the word imported where it has more than `rates_max` rates."""
    if not sets:
        return {}
    sizes = connection.execute(f"{_LAYERS}{_SIZES}".encode(), {"sets": list(sets), "most": rates_max + 1}).fetchall()
    large: set[int] = {row[0] for row in sizes}
    asked = {"sets": [each for each in sets if each not in large]}
    periods: dict[int, list[Period]] = {}
    for of_set, _, name, spans in connection.execute(_PERIODS, asked).fetchall():
        periods.setdefault(of_set, []).append(Period(name, merged((first, last) for first, last in spans)))
    classes = _classes(connection, asked)
    rates: dict[int, dict[str, Price]] = {}
    for of_set, prefix, idx in connection.execute(f"{_LAYERS}{_RATES}".encode(), asked).fetchall():
        rates.setdefault(of_set, {})[prefix] = classes[of_set, idx]
    lists = {each: PriceList(tuple(periods.get(each, ())), rates.get(each, {})) for each in asked["sets"]}
    return {**lists, **dict.fromkeys(large, IMPORTED)}


def _classes(connection: Connection, asked: Mapping[str, Any]) -> Mapping[tuple[int, int], Price]:
    """Return (rate set, idx) -> price; what is forbidden costs nothing else."""
    of_periods: dict[tuple[int, int], list[PeriodPrice]] = {}
    for of_set, idx, name, per_minute, connect in connection.execute(_PERIOD_PRICES, asked).fetchall():
        of_periods.setdefault((of_set, idx), []).append(PeriodPrice(name, per_minute, connect))
    found = {}
    for of_set, idx, per_minute, first_s, next_s, connect, minimum, forbidden in connection.execute(_CLASSES, asked):
        prices = tuple(sorted(of_periods.get((of_set, idx), ())))
        ordinary = Price(per_minute, first_s, next_s, connect, minimum, forbidden=False, periods=prices)
        found[of_set, idx] = Price(0, forbidden=True) if forbidden else ordinary
    return found


def write(connection: Connection, tariff_id: int, prices: PriceList) -> int:
    """Make a new version of a tariff's prices, ready and not in force; return its id."""
    made: int = connection.execute(_NEW_SET, {"tariff": tariff_id}).fetchall()[0][0]
    places = {price: place for place, price in enumerate(sorted(set(prices.rates.values())))} or {Price(0): 0}
    period_places = {period.name: place for place, period in enumerate(prices.periods)}
    with connection.cursor() as cursor:
        cursor.executemany(_NEW_CLASS, [(made, place, *price[:-1]) for price, place in places.items()])
        cursor.executemany(
            _NEW_PERIOD,
            [
                (
                    made,
                    period_places[period.name],
                    period.name,
                    *(list(ends) for ends in zip(*period.parts, strict=True)),
                )
                for period in prices.periods
            ],
        )
        cursor.executemany(
            _NEW_PERIOD_PRICE,
            [
                (made, place, period_places[each.period], each.per_minute, each.connect)
                for price, place in places.items()
                for each in price.periods
            ],
        )
    prefixes = list(prices.rates)
    connection.execute(_NEW_RATES, (made, prefixes, [places[prices.rates[prefix]] for prefix in prefixes]))
    connection.execute("update tandem.rate_set set state = 'ready' where id = %s", (made,))
    return made
