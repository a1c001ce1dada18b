"""What rows say by themselves: found by Postgres, set by set.

Rule: a finding is certain. A rule is called shadowed only where nothing that it takes could reach it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final, LiteralString, NamedTuple

import psycopg

from tools.lint_routes.findings import Finding
from tools.lint_routes.overlaps import overlapping_sources

_RULES: Final = """
    WITH rule AS (
      SELECT r.*, g.name AS group_name,
             r.callee_pattern = '' AND r.caller_pattern = '' AND r.time_set_id IS NULL AND r.valid_to IS NULL
             AND coalesce(r.valid_from, '-infinity') <= %(at)s AS is_always
        FROM tandem.peering_rule r JOIN tandem.peering_group g ON g.id = r.group_id
       WHERE r.enabled AND coalesce(r.valid_to, 'infinity') > %(at)s
    )
"""
_BLOCKED: Final[LiteralString] = (
    _RULES  # noqa: S608  two constants
    + """
    SELECT r.id, r.group_name, r.callee_prefix, min(b.id)
      FROM rule r JOIN rule b ON b.account_id = r.account_id AND b.callee_prefix = r.callee_prefix
     WHERE NOT r.block AND b.block AND b.is_always
     GROUP BY r.id, r.group_name, r.callee_prefix ORDER BY r.id
"""
)
# Of the rules of a group with one prefix the first that fits counts; another one counts only as a stopper or a block.
_REPEATED: Final[LiteralString] = (
    _RULES  # noqa: S608  two constants
    + """
    SELECT r.id, r.group_name, r.callee_prefix, min(f.id)
      FROM rule r JOIN rule f ON f.group_id = r.group_id AND f.callee_prefix = r.callee_prefix AND f.id < r.id
     WHERE NOT r.block AND NOT f.block AND (f.stopper OR NOT r.stopper)
       AND (f.is_always OR row(f.callee_pattern, f.caller_pattern, f.time_set_id, f.valid_from, f.valid_to)
            IS NOT DISTINCT FROM row(r.callee_pattern, r.caller_pattern, r.time_set_id, r.valid_from, r.valid_to))
     GROUP BY r.id, r.group_name, r.callee_prefix ORDER BY r.id
"""
)
_CONTRARY: Final = """
    SELECT r.id, g.name, r.callee_prefix, r.callee_pattern
      FROM tandem.peering_rule r JOIN tandem.peering_group g ON g.id = r.group_id
     WHERE r.enabled AND r.callee_pattern <> '' AND r.callee_prefix <> '' ORDER BY r.id
"""
_REWRITES: Final = """
    SELECT w.id, w.name, r.side, r.id, r.pattern
      FROM tandem.rewrite_rule r JOIN tandem.rewrite_set w ON w.id = r.rewrite_set_id
     ORDER BY r.rewrite_set_id, r.side, r.priority, r.id
"""
_BEHIND_PEERS: Final = """
    SELECT t.id, t.network::text, min(g.name)
      FROM tandem.trusted_source t
      JOIN sync.sources v ON v.name = 'src:' || t.network
      CROSS JOIN jsonb_array_elements(v.entries) AS entry
      JOIN tandem.peering_group g ON g.id = (entry ->> 5)::bigint
     WHERE t.enabled AND t.transport = '' AND t.from_pattern = '' AND (entry ->> 1)::integer = 0
     GROUP BY t.id, t.network ORDER BY t.id
"""
_EXPIRED: Final = """
    SELECT 'rule ' || r.id || ' (' || g.name || ', ' || r.callee_prefix || ')',
           'was valid until ' || to_char(r.valid_to at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'
      FROM tandem.peering_rule r JOIN tandem.peering_group g ON g.id = r.group_id
     WHERE r.enabled AND r.valid_to <= %(at)s
    UNION ALL
    SELECT 'time set ' || s.id || ' (' || s.name || ')', d.kind || ' until ' || d.last_day
      FROM tandem.time_set_day d JOIN tandem.time_set s ON s.id = d.time_set_id
     WHERE d.last_day > 1231 AND d.last_day < to_char(%(at)s::timestamptz at time zone s.timezone, 'YYYYMMDD')::integer
    UNION ALL
    SELECT 'tariff ' || t.id || ' (' || t.name || ')', 'its prices ended, and ' || count(a.id) || ' accounts pay by it'
      FROM tandem.tariff t JOIN tandem.account a ON a.tariff_id = t.id AND a.status = 'active'
     WHERE (SELECT d.rate_set_id IS NULL FROM tandem.tariff_deck d
             WHERE d.tariff_id = t.id AND d.valid_from <= %(at)s ORDER BY d.valid_from DESC LIMIT 1)
     GROUP BY t.id, t.name
    UNION ALL
    SELECT 'tariff ' || t.id || ' (' || t.name || ')', 'its prices ended, and it is the deck of carrier ' || g.name
      FROM tandem.tariff t JOIN tandem.peering_group g ON g.tariff_id = t.id AND g.enabled
     WHERE (SELECT d.rate_set_id IS NULL FROM tandem.tariff_deck d
             WHERE d.tariff_id = t.id AND d.valid_from <= %(at)s ORDER BY d.valid_from DESC LIMIT 1)
    ORDER BY 1, 2
"""
_EVERYTHING: Final = frozenset(
    ("", "^", "$", ".*", "(.*)", ".+", "(.+)", "^.*", "^(.*)", "^.+", "^(.+)", "^.*$", "^(.*)$", "^.+$", "^(.+)$")
)
_LITERAL: Final = re.compile(r"\^((?:[0-9]|\\\+)*)(.*)", re.DOTALL)
_BEGINS: Final = re.compile(r"\^sip:([0-9]+)(?![0-9?*+{|])")


class _Rewrite(NamedTuple):
    set_id: int
    set_name: str
    side: str
    id: int
    pattern: str


def row_findings(connection: psycopg.Connection[Any], at: str) -> Iterator[Finding]:
    """Yield what is wrong with peering rules, rewrite rules, sources and rows with an end. at: the moment, ISO 8601."""
    moment = {"at": at}
    for rule_id, group, prefix, by in connection.execute(_BLOCKED, moment):
        yield Finding("shadowed", _rule(rule_id, group, prefix), f"rule {by} blocks its prefix at all times")
    for rule_id, group, prefix, by in connection.execute(_REPEATED, moment):
        yield Finding("shadowed", _rule(rule_id, group, prefix), f"rule {by} of its group takes all that it would take")
    for rule_id, group, prefix, pattern in connection.execute(_CONTRARY):
        begins = _BEGINS.match(pattern)
        if begins and not (begins[1].startswith(prefix) or prefix.startswith(begins[1])):
            yield Finding("shadowed", _rule(rule_id, group, prefix), f"its callee pattern wants {begins[1]}")
    yield from _rewrites(map(_Rewrite._make, connection.execute(_REWRITES)))
    yield from overlapping_sources(connection)
    for source_id, network, group in connection.execute(_BEHIND_PEERS):
        where, what = f"trusted source {source_id} by {network}", f"calls from there are carrier {group}'s: a peer wins"
        yield Finding("ambiguous_source", where, what)
    for where, what in connection.execute(_EXPIRED, moment):
        yield Finding("expired", where, what)


def _rule(rule_id: int, group: str, prefix: str) -> str:
    return f"rule {rule_id} ({group}, {prefix or 'any'})"


def _rewrites(rules: Iterable[_Rewrite]) -> Iterator[Finding]:
    """Yield rewrite rules that come after one of their set and side which takes all that they would take."""
    for _, group in groupby(rules, key=lambda rule: (rule.set_id, rule.side)):
        before: list[_Rewrite] = []
        for rule in group:
            taker = next((first for first in before if _takes_all(first.pattern, rule.pattern)), None)
            if taker is not None:
                where = f"rewrite rule {rule.id} ({rule.set_name}, {rule.side})"
                yield Finding("shadowed", where, f"rule {taker.id} ({taker.pattern}) comes first and takes all of it")
            before.append(rule)


def _takes_all(first: str, later: str) -> bool:
    """Whether the first pattern surely matches what the later one does: it is the same, anything, or its beginning."""
    if first == later or first in _EVERYTHING:
        return True
    short, long = _LITERAL.match(first), _LITERAL.match(later)
    if short is None or long is None or short[2] or "|" in later:
        return False
    # A digit that is repeated or optional is no part of what the later one surely begins with.
    begins = long[1][:-1] if long[2][:1] in ("?", "*", "{") else long[1]
    return bool(short[1]) and begins.startswith(short[1])
