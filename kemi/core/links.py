"""What leads to what among configuration records.

Rule 1: a fetch follows exactly these links inside Redis, so that one round trip brings a whole aggregate.
Rule 2: `missing` walks them over what is known, so one `Need` names every gap at once, whatever a cache has evicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from kemi import keys
from kemi.core.outcome import Need
from kemi.core.prefix import bucket_fields
from kemi.core.request import Fetched, RateBuckets
from kemi.records import (
    Account,
    BarringLevel,
    Callflow,
    Extension,
    Forward,
    Number,
    PeeringGroup,
    PeeringRules,
    Peers,
    PortedNumber,
    RingGroup,
    SipDomain,
    Source,
    SourceKind,
    Sources,
    Subscriber,
    Tariff,
    User,
)

NAMES_MAX: Final = 4096  # names walked per Need; a real call stands on fewer than 200


def links(record: object) -> tuple[str, ...]:
    """Return the short names that `record` leads to; () for a record that leads nowhere, and for None."""
    follow = _LINKS.get(type(record))
    return follow(record) if follow else ()


def missing(names: Iterable[str], records: Fetched, rates: RateBuckets, digits: str) -> Need:
    """Return the Need for everything unknown that `names` lead to.

    digits: whose rate buckets matter, "" for none; the called number's, by which outgoing and inbound prices alike are
    found. A tariff is named again, though it is known, when one of its rate sets or one of these buckets is not: the
    fetch brings rates with their tariff. A set known to be absent has no buckets. What is known on the way is held.
    """
    waiting, seen, gaps = list(names), dict[str, None](), dict[str, None]()
    while waiting and len(seen) < NAMES_MAX:
        name = waiting.pop()
        if name in seen:
            continue
        seen[name] = None
        record = records.get(name)
        if name not in records or (isinstance(record, Tariff) and _lacks_rates(record, records, rates, digits)):
            gaps[name] = None
        waiting.extend(links(record))
    return Need(tuple(gaps), digits, held=tuple(name for name in seen if name not in gaps) if gaps else ())


def _lacks_rates(tariff: Tariff, records: Fetched, rates: RateBuckets, digits: str) -> bool:
    set_ids = _rate_sets(tariff)
    if any(keys.rate_set(set_id) not in records for set_id in set_ids):
        return True
    living = [set_id for set_id in set_ids if records.get(keys.rate_set(set_id)) is not None]
    return any((set_id, field) not in rates for set_id in living for field in bucket_fields(digits))


def _rate_sets(tariff: Tariff) -> tuple[int, ...]:
    """Return every rate set that may price a call by this tariff now or later, or a call to the same number."""
    named = (tariff.rate_set_id, tariff.inbound_rate_set_id, *(deck.rate_set_id for deck in tariff.decks))
    return tuple(dict.fromkeys(set_id for set_id in named if set_id))


def _of_subscriber(subscriber: Subscriber) -> tuple[str, ...]:
    above = (keys.account(subscriber.account_id), keys.sip_domain(subscriber.domain))
    levels = _levels(subscriber.barring_id, subscriber.own_barring_id)
    return (*above, *_sets(subscriber.rewrite_set_id), *levels, *_of_forwards(subscriber.forwards))


def _of_forwards(forwards: tuple[Forward, ...]) -> tuple[str, ...]:
    return (*_reached(*(each.to for each in forwards)), *_times(*(each.time_set_id for each in forwards)))


def _of_user(user: User) -> tuple[str, ...]:
    return (keys.account(user.account_id), *map(keys.subscriber, user.lines), *_of_forwards(user.forwards))


def _of_ring_group(group: RingGroup) -> tuple[str, ...]:
    return (keys.account(group.account_id), *_reached(*(each.to for each in group.members), group.overflow))


def _of_callflow(flow: Callflow) -> tuple[str, ...]:
    times = _times(*(each.time_set_id for each in flow.steps))
    return (keys.account(flow.account_id), *_reached(*(each.to for each in flow.steps)), *times)


def _of_number(number: Number) -> tuple[str, ...]:
    line = (keys.subscriber(number.subscriber),) if number.subscriber else ()
    return (*line, *_reached(number.to))


def _of_account(account: Account) -> tuple[str, ...]:
    parent = (keys.account(account.parent_id),) if account.parent_id else ()
    tariff = (keys.tariff(account.tariff_id),) if account.tariff_id else ()
    return (*parent, *tariff, *_levels(account.barring_id, account.own_barring_id))


def _of_group(group: PeeringGroup) -> tuple[str, ...]:
    sets = _sets(group.rewrite_set_id, *(server.rewrite_set_id for server in group.servers))
    return (keys.tariff(group.tariff_id), *sets) if group.tariff_id else sets


def _of_rules(rules: PeeringRules) -> tuple[str, ...]:
    entries = rules.entries
    return (*_groups(*(rule.group_id for rule in entries)), *_times(*(rule.time_set_id for rule in entries)))


def _of_source(source: Source) -> str:
    if source.kind == SourceKind.PEER:
        return keys.peering_group(source.group_id)
    return keys.subscriber(source.subscriber)


def _reached(*destinations: str) -> tuple[str, ...]:
    return tuple(filter(None, destinations))


def _sets(*set_ids: int) -> tuple[str, ...]:
    return tuple(keys.rewrite_set(set_id) for set_id in set_ids if set_id)


def _levels(*level_ids: int) -> tuple[str, ...]:
    return tuple(keys.barring_level(level_id) for level_id in level_ids if level_id)


def _times(*set_ids: int) -> tuple[str, ...]:
    return tuple(keys.time_set(set_id) for set_id in set_ids if set_id)


def _groups(*group_ids: int) -> tuple[str, ...]:
    return tuple(keys.peering_group(group_id) for group_id in group_ids if group_id)


_LINKS: Final[Mapping[type, Callable[[Any], tuple[str, ...]]]] = MappingProxyType(
    {
        Subscriber: _of_subscriber,
        Account: _of_account,
        SipDomain: lambda domain: _sets(domain.rewrite_set_id),
        Number: _of_number,
        User: _of_user,
        RingGroup: _of_ring_group,
        Callflow: _of_callflow,
        Extension: lambda extension: (keys.account(extension.account_id), *_reached(extension.to)),
        Sources: lambda sources: tuple(_of_source(source) for source in sources.entries),
        BarringLevel: lambda level: _times(level.time_set_id),
        PortedNumber: lambda ported: _groups(ported.group_id),
        Peers: lambda peers: _groups(*peers.group_ids),
        PeeringRules: _of_rules,
        PeeringGroup: _of_group,
        Tariff: lambda tariff: tuple(map(keys.rate_set, _rate_sets(tariff))),
    }
)
