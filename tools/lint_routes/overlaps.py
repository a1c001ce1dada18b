"""Trusted sources of one network whose From patterns both fit some caller: which of them it is goes by their ids.

Rule: a finding is certain. Patterns are tried by the workers' own engine on callers that one of the sources stands for:
its line by name, by its numbers and by the numbers that it may show, and what a pattern that begins `^sip:4420` asks
for, filled up with digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import psycopg

from kemi.core.pattern import compile_pattern
from tools.lint_routes.findings import Finding

_SOURCES: Final = """
    SELECT t.network::text, t.transport, t.id, t.from_pattern, d.name, s.username,
           array_remove(ARRAY[s.cli::text], NULL)
           || array(SELECT n.e164::text FROM tandem.number n WHERE n.subscriber_id = s.id ORDER BY n.e164 LIMIT 100)
           || array(SELECT c FROM unnest(s.allowed_clis) AS c WHERE c ~ '^[0-9]+$')
      FROM tandem.trusted_source t
      JOIN tandem.subscriber s ON s.id = t.subscriber_id
      JOIN tandem.sip_domain d ON d.id = s.sip_domain_id
     WHERE t.enabled AND t.from_pattern <> '' ORDER BY t.network, t.transport, t.id
"""
NUMBER_DIGITS: Final = 12  # of a number that is filled up
_BEGINS: Final = re.compile(r"\^(sips?:(?:\\[+.@_-]|[+]|[A-Za-z0-9@._%-])*)(.?)", re.DOTALL)


class _Source(NamedTuple):
    network: str
    transport: str
    id: int
    pattern: str
    domain: str
    username: str
    numbers: list[str]

    def callers(self) -> Iterator[str]:
        """Yield From URIs that it stands for; a pattern need not fit them all."""
        yield f"sip:{self.username}@{self.domain}"
        for number in self.numbers:
            yield f"sip:{number}@{self.domain}"
            yield f"sip:+{number}@{self.domain}"
        begins = _BEGINS.match(self.pattern)
        if begins is not None and "|" not in self.pattern:
            # What is repeated or optional is no part of what it surely begins with.
            text = begins[1][:-1] if begins[2] and begins[2] in "?*{" else begins[1]
            user, at, host = text.replace("\\", "").partition("@")
            padded = user.ljust(len("sip:") + NUMBER_DIGITS, "0") if user[-1:].isdecimal() and not at else user
            yield f"{padded}@{host or self.domain}"


def overlapping_sources(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """Yield each pair of sources once, with a caller that both fit. Raises psycopg errors."""
    rows = map(_Source._make, connection.execute(_SOURCES))
    for (network, transport), group in groupby(rows, key=lambda source: (source.network, source.transport)):
        for first, other, uri in _overlaps(list(group)):
            where = f"trusted sources {first} and {other} by {network} {transport}".rstrip()
            yield Finding("ambiguous_source", where, f"both From patterns fit {uri}")


def _overlaps(sources: Sequence[_Source]) -> Iterator[tuple[int, int, str]]:
    told: set[tuple[int, int]] = set()
    for source in sources:
        own = compile_pattern(source.pattern)
        for uri in source.callers():
            if own.search(uri) is None:
                continue
            for other in sources:
                pair = (min(source.id, other.id), max(source.id, other.id))
                if other.id != source.id and pair not in told and compile_pattern(other.pattern).search(uri):
                    told.add(pair)
                    yield *pair, uri
