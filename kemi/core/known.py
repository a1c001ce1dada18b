"""What a decision reads, and the mark that it leaves.

Rule 1: every name that was looked at is remembered, those found absent too: the hold is told all of them, and answers
STALE when one has changed since.
Rule 2: a record that nobody has fetched stops the decision. `Unknown` is raised here and caught in `decide` alone,
which makes one Need of all that the present stage stands on. `Uncounted` does the same for the use of a nonce.
Rule 3: a record of another type than asked for counts as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from kemi import keys
from kemi.core.links import missing
from kemi.core.outcome import Need
from kemi.core.prefix import longest
from kemi.core.request import Facts
from kemi.records import (
    Account,
    BarringLevel,
    Callflow,
    Destinations,
    Emergency,
    Exchange,
    Extension,
    Lengths,
    Masks,
    MediaServer,
    Number,
    PeeringGroup,
    PeeringRules,
    PortedNumber,
    Quality,
    RateSet,
    RewriteSet,
    RingGroup,
    SipDomain,
    Sources,
    Subscriber,
    Tariff,
    TimeSet,
    User,
)

R = TypeVar("R")

_PORTED, _RULES = keys.ported(""), "rules:"
HELD_MAX: Final = 512  # names told with a need; a real call stands on fewer than 200


class Unknown(Exception):  # noqa: N818  no error: the decision waits for a fetch
    """A record was read that has not been fetched. name: its short name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Uncounted(Exception):  # noqa: N818  as above
    """A response is right, and how often it came has not been counted: only what is right may fill a table."""


class Known:
    """Typed reading of facts. Each reader returns None for what Redis is known not to hold."""

    def __init__(self, facts: Facts) -> None:
        self._records = facts.records
        self._rates = facts.rates
        self._looked_at: dict[str, None] = {}
        self._expected: Iterable[str] = ()
        self._numbers: Iterable[str] = ()
        self._by_masks: Callable[[], Iterable[str]] = tuple

    @property
    def used(self) -> tuple[str, ...]:
        """The short names looked at so far, in order."""
        return tuple(self._looked_at)

    def expect(self, names: Iterable[str], numbers: Iterable[str] = ()) -> None:
        """Declare what the coming stage stands on; with its links, that is what a Need will ask for.

        numbers: whose rates will be looked up, that of the called first. Both are looked at only when something has to
        be fetched, so a generator costs a warm call nothing.
        """
        self._expected, self._numbers = names, numbers

    def depend_on_masks(self, names: Callable[[], Iterable[str]]) -> None:
        """Declare which sources could matter under any masks. names: asked when something has to be fetched."""
        self._by_masks = names

    def need(self, name: str) -> Need:
        """Return the Need for `name` and for every other gap in what is expected.

        It holds whatever the decision has looked at, so that one fetch tells all of it anew that is not true any more.
        While the masks are unknown it asks for every source that they could lead to.
        """
        need = self._missing((*self._expected, name))
        sources = tuple(self._by_masks())
        if keys.MASKS not in self._records:
            need = need._replace(keys=tuple(dict.fromkeys((*need.keys, *sources))))
        held = dict.fromkeys((*self._looked_at, *need.held, *sources))
        return need._replace(held=tuple(name for name in held if name not in need.keys)[:HELD_MAX])

    def _missing(self, names: tuple[str, ...]) -> Need:
        """Return the Need for the gaps in `names` and in what they lead to, with the rates of every number.

        What a ported number is routed by stands in its record alone. So a fetch that may bring one goes on from there,
        to the rules of every owner that it is asked for; where nothing else of an owner is, the shortest prefix is.
        """
        numbers = tuple(self._numbers)
        needs = [missing(names, self._records, self._rates, number) for number in numbers or ("",)]
        gaps = dict.fromkeys(gap for need in needs for gap in need.keys)
        if any(gap.startswith(_PORTED) for gap in gaps):
            gaps.update(dict.fromkeys(name for name in names if name.startswith(_RULES) and name.endswith(":")))
        held = dict.fromkeys(each for need in needs for each in need.held if each not in gaps)
        return Need(tuple(gaps), ",".join(numbers), held=tuple(held))

    def holds(self, name: str) -> bool:
        """Whether `name` can be read without waiting for a fetch."""
        return name in self._records

    def cached(self, name: str) -> object:
        """Return what is known at `name`, None for nothing; it is not waited for, and does not count as looked at."""
        return self._records.get(name)

    def masks(self) -> Masks | None:
        """Return the mask lengths of source networks."""
        return self._read(Masks, keys.MASKS)

    def emergency(self) -> Emergency | None:
        """Return the emergency numbers."""
        return self._read(Emergency, keys.EMERGENCY)

    def sources(self, name: str) -> Sources | None:
        """Return the sources of one network, by short name."""
        return self._read(Sources, name)

    def sip_domain(self, name: str) -> SipDomain | None:
        """Return a SIP domain by its name."""
        return self._read(SipDomain, keys.sip_domain(name))

    def subscriber(self, address_of_record: str) -> Subscriber | None:
        """Return a subscriber by `user@domain`."""
        return self._read(Subscriber, keys.subscriber(address_of_record))

    def account(self, account_id: int) -> Account | None:
        """Return an account."""
        return self._read(Account, keys.account(account_id))

    def number(self, digits: str) -> Number | None:
        """Return one of our own numbers."""
        return self._read(Number, keys.number(digits))

    def user(self, user_id: int) -> User | None:
        """Return a user."""
        return self._read(User, keys.user(user_id))

    def ring_group(self, group_id: int) -> RingGroup | None:
        """Return a group of lines and users."""
        return self._read(RingGroup, keys.ring_group(group_id))

    def callflow(self, flow_id: int) -> Callflow | None:
        """Return a callflow."""
        return self._read(Callflow, keys.callflow(flow_id))

    def extension(self, account_id: int, dialled: str) -> Extension | None:
        """Return what lines of an account reach by these digits or this word, lower case."""
        return self._read(Extension, keys.extension(account_id, dialled))

    def media_server(self, server_id: int) -> MediaServer | None:
        """Return a media server."""
        return self._read(MediaServer, keys.media_server(server_id))

    def rewrite_set(self, set_id: int) -> RewriteSet | None:
        """Return a set of rewrite rules."""
        return self._read(RewriteSet, keys.rewrite_set(set_id))

    def peering_group(self, group_id: int) -> PeeringGroup | None:
        """Return a carrier."""
        return self._read(PeeringGroup, keys.peering_group(group_id))

    def peering_rules(self, owner_ids: Sequence[int], prefixes: Sequence[str]) -> list[tuple[int, PeeringRules]]:
        """Return those peering rules of accounts' carriers with exactly these prefixes that there are.

        Each with its place among all: for each prefix those of each owner. All are read at once, since most of them are
        known to be absent: a dozen prefixes have rules of a few.
        """
        beginnings = [keys.peering_rules(owner_id, "") for owner_id in owner_ids]
        return self._read_all(PeeringRules, [each + prefix for prefix in prefixes for each in beginnings])

    def tariff(self, tariff_id: int) -> Tariff | None:
        """Return a tariff: which rate sets are in force. 0 names none, and no link leads there."""
        return self._read(Tariff, keys.tariff(tariff_id)) if tariff_id else None

    def rate_set(self, rate_set_id: int) -> RateSet | None:
        """Return the price classes of a rate set."""
        return self._read(RateSet, keys.rate_set(rate_set_id))

    def exchange(self) -> Exchange | None:
        """Return the exchange rates."""
        return self._read(Exchange, keys.EXCHANGE)

    def barring_level(self, level_id: int) -> BarringLevel | None:
        """Return a barring level."""
        return self._read(BarringLevel, keys.barring_level(level_id))

    def time_set(self, set_id: int) -> TimeSet | None:
        """Return a set of times."""
        return self._read(TimeSet, keys.time_set(set_id))

    def ported_lengths(self) -> Lengths | None:
        """Return how long the digits of ported numbers are."""
        return self._read(Lengths, keys.PORTED_LENGTHS)

    def ported(self, digits: str) -> PortedNumber | None:
        """Return the ported number, or numbers, with exactly these digits."""
        return self._read(PortedNumber, keys.ported(digits))

    def destinations(self, number: str) -> Destinations | None:
        """Return the destinations that a number may belong to."""
        return self._read(Destinations, keys.destinations(number))

    def quality(self) -> Quality | None:
        """Return how carriers' servers have done lately."""
        return self._read(Quality, keys.QUALITY)

    def longest_rate(self, tariff_id: int, rate_set_id: int, number: str) -> tuple[str, int] | None:
        """Return the longest prefix of `number` in a rate set, which exists, and its class; None where none fits.

        tariff_id: with which they are fetched. Prefixes are immutable, so they are not among the names used.
        """
        rates = self._rates
        try:
            return longest(number, lambda field: rates[rate_set_id, field])
        except KeyError:
            raise Unknown(keys.tariff(tariff_id)) from None

    def _read_all(self, kind: type[R], names: list[str]) -> list[tuple[int, R]]:
        """As `_read` for each of the names, in less time: what is there, with its place among them."""
        records = self._records
        many = getattr(records, "many", None)  # a worker's cache reads many at once
        try:
            found = many(names) if many else list(map(records.__getitem__, names))
        except KeyError:
            for name in names:
                self._read(kind, name)  # raises, having looked at what stands before the gap
            raise
        self._looked_at.update(dict.fromkeys(names))
        there = [(place, record) for place, record in enumerate(found) if record is not None]
        return [(place, record) for place, record in there if isinstance(record, kind)]

    def _read(self, kind: type[R], name: str) -> R | None:
        self._looked_at[name] = None
        try:
            record = self._records[name]
        except KeyError:
            raise Unknown(name) from None
        return record if isinstance(record, kind) else None
