"""The world of the sync benchmark: as many subscribers and rates as asked for, two that call, and some to change.

Subscribers are inserted as a restored dump would be, without triggers: nothing is in Redis yet that they could be told
to. Rates come as an import brings them, by COPY into a set under construction.

Rates: "1" … "9", then prefixes of 8 to 10 digits, a quarter of them below "10" … "18": real price lists crowd too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import psycopg

CALLER, CALLEE, PROBE = "127.1.210.9", "127.1.210.1", "127.1.210.20"
CALLER_NUMBER: Final = "888200100001"
DOMAIN: Final = "bench.example"
SMALL_RATES: Final = 100_000
CLASSES: Final = 50
TENANTS: Final = 20
REASONS: Final = ("barred", "channels", "no_credit", "no_rate")
PHRASE: Final = "change "
"""A tenant's own answer carries the number of its change as its phrase: "change 17"."""
COPY_ROWS: Final = 1_000_000  # of one COPY, whose trigger keeps all of its rows until it ends
COUNTER_BASE: Final = 4_930_000_000  # a subscriber's own number carries the number of its change
HOT_MAX: Final = 2_000

_BAND, _ALL, _END = 10_000_000, 19_000_000, 100_000_000
_TAILS: Final = ("", "5", "37")

_ACCOUNTS: Final = """
select world.tariff('Tandem', 'bench-wholesale', 'EUR', {plain});
select world.reseller('bench-reseller', 'Tandem', 'bench-wholesale', 1000000);
select world.tariff('bench-reseller', 'bench-largest', 'EUR', {plain});
select world.tariff('bench-reseller', 'bench-small', 'EUR', {plain});
select world.carrier_of('bench-reseller', 'bench-carrier', '{callee}', 5080, {dear});
select world.customer('bench-caller', 'bench-reseller', 'bench-largest', 1000000);
select world.domain('{domain}', 'bench-reseller');
select world.subscriber('pbx@{domain}', 'bench-caller', null, '{caller_number}');
select world.trusted('pbx@{domain}', '{caller}/32', 'udp');
select world.customer('bench-probe', 'bench-reseller', 'bench-largest');
select world.subscriber('probe@{domain}', 'bench-probe', null, '888200100002');
select world.trusted('probe@{domain}', '{probe}/32', 'udp');
select world.reply('bench-probe', 'suspended', 403, '{phrase}0');
select world.account_option('bench-probe', 'status', 'suspended');
select world.customer('bench-tenant-' || n, 'bench-reseller', 'bench-small') from generate_series(1, {tenants}) as n;
select world.reply('bench-tenant-' || n, reason, 480, '{phrase}0')
  from generate_series(1, {tenants}) as n, unnest('{{{reasons}}}'::text[]) as reason;
"""

_SUBSCRIBERS: Final = """
insert into tandem.subscriber(account_id, sip_domain_id, username, ha1_md5, ha1_sha256, cli)
select tenants.ids[1 + n %% {tenants}], d.id, 'line' || n, md5('line' || n),
       encode(sha256(('line' || n)::bytea), 'hex'), {base}::text
  from generate_series(1, %s) as n,
       (select id from tandem.sip_domain where name = '{domain}') as d,
       (select array_agg(id) as ids from tandem.account where starts_with(name, 'bench-tenant-')) as tenants
"""

_HOT: Final = """
select id, username || '@' || %s from tandem.subscriber
 where starts_with(username, 'line') order by md5(username) limit %s
"""

_CLASSES: Final = """
insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s, next_s)
select %s, n, 20000 + 100 * n, 60, 60 from generate_series(0, %s - 1) as n
"""


class World(NamedTuple):
    """What the measurements name. hot: ids and addresses of record of the subscribers that change."""

    largest_id: int
    small_id: int
    small_set_id: int
    tenants: Sequence[int]
    hot: Sequence[tuple[int, str]]


def build(connection: psycopg.Connection[Any], subscribers: int) -> World:
    """Make the world beside the demo world, with the words of sql/seed/world.sql.

    connection: of a superuser, in autocommit mode. Both tariffs of the benchmark have 100,000 rates then.
    """
    connection.execute(_accounts().encode())
    with connection.transaction():
        connection.execute("set local session_replication_role = replica")
        text = _SUBSCRIBERS.format(tenants=TENANTS, domain=DOMAIN, base=COUNTER_BASE)
        connection.execute(text.encode(), (subscribers,))
    largest_id, small_id = _one(connection, "bench-largest"), _one(connection, "bench-small")
    point(connection, largest_id, deck(connection, largest_id, SMALL_RATES))
    small_set_id = deck(connection, small_id, SMALL_RATES)
    point(connection, small_id, small_set_id)
    connection.execute("vacuum (analyze) tandem.subscriber, tandem.rate")
    return World(largest_id, small_id, small_set_id, _tenants(connection), _hot(connection))


def deck(
    connection: psycopg.Connection[Any], tariff_id: int, rates: int, say: Callable[[str], None] = lambda _: None
) -> int:
    """Return the id of a new version of a tariff's prices, under construction. say: told of each million rates."""
    number = (
        "insert into tandem.rate_set(tariff_id, version)"
        " select %s, 1 + max(version) from tandem.rate_set where tariff_id = %s returning id"
    )
    ((set_id,),) = connection.execute(number, (tariff_id, tariff_id)).fetchall()
    connection.execute(_CLASSES.encode(), (set_id, CLASSES))
    rows = _rows(set_id, rates)
    with connection.cursor() as cursor:
        for begun in range(0, rates, COPY_ROWS):
            if begun:
                say(f"  {begun} rates")
            with cursor.copy("copy tandem.rate(rate_set_id, prefix, class_idx) from stdin") as copy:
                for _, block in zip(range(COPY_ROWS // _BLOCK_ROWS), rows, strict=False):
                    copy.write(block)
    return int(set_id)


def make_ready(connection: psycopg.Connection[Any], rate_set_id: int) -> None:
    """Close a version of prices: from now on it never changes."""
    connection.execute("update tandem.rate_set set state = 'ready' where id = %s", (rate_set_id,))


def point(connection: psycopg.Connection[Any], tariff_id: int, rate_set_id: int) -> None:
    """Put a version of prices in force, and close it before."""
    make_ready(connection, rate_set_id)
    connection.execute("update tandem.tariff set rate_set_id = %s where id = %s", (rate_set_id, tariff_id))


def prefixes(rates: int) -> Iterator[str]:
    """Yield so many different prefixes, at least nine."""
    yield from "123456789"
    for place in range(rates - 9):
        yield _prefix(place, rates - 9)


def numbers(rates: int, count: int, draw: random.Random) -> list[str]:
    """Return numbers of 12 digits, each below some prefix of a price list with so many rates."""
    places = (draw.randrange(rates - 9) for _ in range(count))
    return [f"{_prefix(place, rates - 9)}{draw.randrange(10**4):04}"[:12].ljust(12, "7") for place in places]


def callable_numbers(rates: int, count: int, draw: random.Random) -> list[str]:
    """As `numbers`, and none that a carrier of the demo world would take."""
    found: list[str] = []
    while len(found) < count:
        found += [number for number in numbers(rates, count, draw) if number[0] in "5678"]
    return found[:count]


_BLOCK_ROWS: Final = 10_000


def _rows(set_id: int, rates: int) -> Iterator[str]:
    """Yield lines of COPY, ten thousand at a time."""
    lines: list[str] = []
    for place, prefix in enumerate(prefixes(rates)):
        lines.append(f"{set_id}\t{prefix}\t{place * 7919 % CLASSES}\n")
        if len(lines) == _BLOCK_ROWS:
            yield "".join(lines)
            lines = []
    if lines:
        yield "".join(lines)


def _prefix(place: int, many: int) -> str:
    """Return the prefix at a place: rising, and no two alike as long as there are no more than 80 million."""
    crowd = many // 4
    if place < crowd:
        first = _BAND + place * (_ALL - _BAND) // crowd
    else:
        first = _ALL + (place - crowd) * (_END - _ALL) // (many - crowd)
    return f"{first}{_TAILS[place % len(_TAILS)]}"


def _accounts() -> str:
    return _ACCOUNTS.format(
        plain=", ".join(f"'{digit}', '0.010'" for digit in range(1, 10)),
        dear=", ".join(f"'{digit}', '0.004'" for digit in range(1, 10)),
        callee=CALLEE,
        caller=CALLER,
        probe=PROBE,
        domain=DOMAIN,
        caller_number=CALLER_NUMBER,
        phrase=PHRASE,
        tenants=TENANTS,
        reasons=",".join(REASONS),
    )


def _one(connection: psycopg.Connection[Any], tariff: str) -> int:
    ((found,),) = connection.execute("select id from tandem.tariff where name = %s", (tariff,)).fetchall()
    return int(found)


def _tenants(connection: psycopg.Connection[Any]) -> list[int]:
    query = "select id from tandem.account where starts_with(name, 'bench-tenant-') order by id"
    return [found for (found,) in connection.execute(query)]


def _hot(connection: psycopg.Connection[Any]) -> list[tuple[int, str]]:
    return list(connection.execute(_HOT.encode(), (DOMAIN, HOT_MAX)))
