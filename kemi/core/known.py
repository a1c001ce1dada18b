"""What a decision reads, and the mark that it leaves.

Rule 1: every name that was looked at is remembered, those found absent too: the hold is told all of them, and answers
STALE when one has changed since.
Rule 2: a record that nobody has fetched stops the decision. `Unknown` is raised here and caught in `decide` alone,
which makes one Need of all that the present stage stands on. `Uncounted` does the same for the use of a nonce.
Rule 3: a record of another type than asked for counts as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from kemi import keys
from kemi.core.links import missing
from kemi.core.outcome import Need
from kemi.core.request import Facts
from kemi.records import (
    Account,
    Exchange,
    Masks,
    Number,
    PeeringGroup,
    PeeringRules,
    RateSet,
    RewriteSet,
    SipDomain,
    Sources,
    Subscriber,
    Tariff,
)

R = TypeVar("R")

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
        self._expected: tuple[str, ...] = ()
        self._digits = ""
        self._by_masks: Callable[[], Iterable[str]] = tuple

    @property
    def used(self) -> tuple[str, ...]:
        """The short names looked at so far, in order."""
        return tuple(self._looked_at)

    def expect(self, names: Iterable[str], digits: str = "") -> None:
        """Declare what the coming stage stands on; with its links, that is what a Need will ask for.

        digits: number whose rates will be looked up, "" for none.
        """
        self._expected, self._digits = tuple(names), digits

    def depend_on_masks(self, names: Callable[[], Iterable[str]]) -> None:
        """Declare which sources could matter under any masks. names: asked when something has to be fetched."""
        self._by_masks = names

    def need(self, name: str) -> Need:
        """Return the Need for `name` and for every other gap in what is expected.

        It holds whatever the decision has looked at, so that one fetch tells all of it anew that is not true any more.
        While the masks are unknown it asks for every source that they could lead to.
        """
        need = missing((*self._expected, name), self._records, self._rates, self._digits)
        sources = tuple(self._by_masks())
        if keys.MASKS not in self._records:
            need = need._replace(keys=tuple(dict.fromkeys((*need.keys, *sources))))
        held = dict.fromkeys((*self._looked_at, *need.held, *sources))
        return need._replace(held=tuple(name for name in held if name not in need.keys)[:HELD_MAX])

    def stand_on(self, name: str) -> None:
        """Declare that the decision depends on a record that the facts hold apart, the emergency table."""
        self._looked_at[name] = None

    def holds(self, name: str) -> bool:
        """Whether `name` can be read without waiting for a fetch."""
        return name in self._records

    def masks(self) -> Masks | None:
        """Return the mask lengths of source networks."""
        return self._read(Masks, keys.MASKS)

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

    def rewrite_set(self, set_id: int) -> RewriteSet | None:
        """Return a set of rewrite rules."""
        return self._read(RewriteSet, keys.rewrite_set(set_id))

    def peering_group(self, group_id: int) -> PeeringGroup | None:
        """Return a carrier."""
        return self._read(PeeringGroup, keys.peering_group(group_id))

    def peering_rules(self, owner_id: int, callee_prefix: str) -> PeeringRules | None:
        """Return the peering rules of an account's carriers with exactly this prefix."""
        return self._read(PeeringRules, keys.peering_rules(owner_id, callee_prefix))

    def tariff(self, tariff_id: int) -> Tariff | None:
        """Return a tariff: which rate sets are in force. 0 names none, and no link leads there."""
        return self._read(Tariff, keys.tariff(tariff_id)) if tariff_id else None

    def rate_set(self, rate_set_id: int) -> RateSet | None:
        """Return the price classes of a rate set."""
        return self._read(RateSet, keys.rate_set(rate_set_id))

    def exchange(self) -> Exchange | None:
        """Return the exchange rates."""
        return self._read(Exchange, keys.EXCHANGE)

    def rate_bucket(self, tariff_id: int, rate_set_id: int, field: str) -> bytes | None:
        """Return the packed prefixes below `field`. They are immutable, so they are not among the names used."""
        if (rate_set_id, field) not in self._rates:
            raise Unknown(keys.tariff(tariff_id))
        return self._rates[rate_set_id, field]

    def _read(self, kind: type[R], name: str) -> R | None:
        self._looked_at[name] = None
        if name not in self._records:
            raise Unknown(name)
        record = self._records[name]
        return record if isinstance(record, kind) else None
