"""What the NOC has put into quarantine, and whose calls it traces, as a decision and a worker see it.

Rule 1: whoever builds these leaves out what has expired; a decision knows no expiry.
Rule 2: an account's quarantine counts for all below it. Its emergency calls pass, and so do calls to it.
Rule 3: a source's quarantine refuses whatever comes from there, emergency calls and registrations too: who floods
emergency centres is stopped by nothing else. Where a customer's emergency calls must pass, quarantine the account.
Rule 4: what is no network, no id or no known kind counts nowhere: a newer release may have written it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from kemi.core.sources import is_within

CARRIER: Final = "carrier"
SERVER: Final = "server"
ACCOUNT: Final = "account"
SOURCE: Final = "source"
LINE: Final = "line"
PREFIX: Final = "prefix"
ALL_NODES: Final = "*"
QUARANTINED: Final = (CARRIER, SERVER, ACCOUNT, SOURCE)
TRACED: Final = (LINE, PREFIX)


class Quarantine(NamedTuple):
    """Who takes no part in new calls. carriers: ids of peering groups. sources: networks in CIDR form."""

    carriers: frozenset[int] = frozenset()
    servers: frozenset[int] = frozenset()
    accounts: frozenset[int] = frozenset()
    sources: tuple[str, ...] = ()

    def network_of(self, ip: str) -> str:
        """Return the network in quarantine that an address is in, "" = none."""
        return next((network for network in self.sources if is_within(ip, network)), "")


class Traced(NamedTuple):
    """Whose calls are traced. lines: `user@domain`. prefixes: digits that the number of either side begins with."""

    lines: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    def match(self, lines: Iterable[str], numbers: Iterable[str]) -> str:
        """Return what of a call is traced, `line alice@a.example` or `prefix 4930`; "" = nothing."""
        line = next((line for line in lines if line in self.lines), "")
        if line:
            return f"{LINE} {line}"
        seen = tuple(numbers)
        prefix = next((prefix for prefix in self.prefixes if any(each.startswith(prefix) for each in seen)), "")
        return f"{PREFIX} {prefix}" if prefix else ""


class Measures(NamedTuple):
    """All that the NOC has ordered and that workers must know."""

    quarantine: Quarantine = Quarantine()
    traced: Traced = Traced()


NO_QUARANTINE: Final = Quarantine()
NO_MEASURES: Final = Measures()


def measures(rows: Iterable[tuple[str, str]]) -> Measures:
    """Return the measures of (kind, value) pairs."""
    found: dict[str, list[str]] = {}
    for kind, value in rows:
        found.setdefault(kind, []).append(value)
    return Measures(
        Quarantine(
            _ids(found.get(CARRIER, ())),
            _ids(found.get(SERVER, ())),
            _ids(found.get(ACCOUNT, ())),
            tuple(found.get(SOURCE, ())),
        ),
        Traced(frozenset(found.get(LINE, ())), tuple(found.get(PREFIX, ()))),
    )


def _ids(values: Iterable[str]) -> frozenset[int]:
    return frozenset(int(value) for value in values if value.isascii() and value.isdigit())
