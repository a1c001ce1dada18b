"""Emergency routes and ported numbers that lead to nobody. They stand beside prices: no prefix tells of them.

Rule: a finding is certain. A carrier is usable when it is enabled and has an enabled server with an address; it takes
a number when a rule of it and its deck have a prefix that some number below may have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, LiteralString

import psycopg

from tools.lint_routes.findings import Finding

_USABLE: Final = """
    usable AS (
      SELECT g.id, g.name, g.account_id,
             CASE WHEN NOT g.enabled THEN 'is disabled'
                  WHEN NOT EXISTS (
                    SELECT FROM tandem.peering_server s
                     WHERE s.group_id = g.id AND s.enabled
                       AND (s.address IS NOT NULL
                            OR EXISTS (SELECT FROM tandem.peering_server_address a WHERE a.server_id = s.id)))
                  THEN 'has no enabled server with an address' END AS fault,
             (SELECT d.rate_set_id
                FROM (SELECT '-infinity' AS valid_from, t.rate_set_id FROM tandem.tariff t WHERE t.id = g.tariff_id
                      UNION ALL
                      SELECT k.valid_from, k.rate_set_id FROM tandem.tariff_deck k WHERE k.tariff_id = g.tariff_id) AS d
               WHERE d.valid_from <= %(at)s ORDER BY d.valid_from DESC LIMIT 1) AS rate_set_id
        FROM tandem.peering_group g
    )
"""
_EMERGENCY: Final[LiteralString] = (
    "WITH "  # noqa: S608  constants
    + _USABLE
    + """
    SELECT e.number, e.domain, e.region,
           string_agg(CASE WHEN u.id IS NULL THEN 'group ' || n.id || ' does not exist'
                           ELSE u.name || ' ' || u.fault END,
                      '; ' ORDER BY n.place),
           coalesce(bool_or(u.id IS NOT NULL AND u.fault IS NULL), false)
      FROM tandem.emergency_route e
      CROSS JOIN unnest(e.group_ids) WITH ORDINALITY AS n(id, place)
      LEFT JOIN usable u ON u.id = n.id
     GROUP BY e.id, e.number, e.domain, e.region
    HAVING bool_or(u.fault IS NOT NULL OR u.id IS NULL)
     ORDER BY e.number, e.domain, e.region
"""
)
# Entries by the thousand share a routing number and a carrier: each pair is looked at once.
_PORTED: Final[LiteralString] = (
    "WITH "  # noqa: S608  constants
    + _USABLE
    + """,
    entry AS (
      SELECT n.routing::text AS routing, n.group_id, min(n.digits::text) AS digits, count(*) AS entries
        FROM tandem.ported_number n GROUP BY n.routing, n.group_id
    ),
    tried AS (
      SELECT e.digits, e.routing, e.entries, e.group_id, u.name, u.fault,
             EXISTS (SELECT FROM tandem.peering_rule r
                      WHERE r.group_id = u.id AND r.enabled AND NOT r.block
                        AND coalesce(r.valid_to, 'infinity') > %(at)s
                        AND (starts_with(e.routing, r.callee_prefix) OR starts_with(r.callee_prefix, e.routing)))
               AS is_ruled,
             EXISTS (SELECT FROM sync.rate r
                      WHERE r.rate_set_id = u.rate_set_id
                        AND (r.prefix = ANY (ARRAY(
                               SELECT left(e.routing, k) COLLATE "C" FROM generate_series(1, length(e.routing)) AS k))
                             OR r.prefix >= e.routing COLLATE "C" AND r.prefix < (e.routing || ':') COLLATE "C"))
               AS is_sold
        FROM entry e LEFT JOIN usable u ON e.group_id IS NULL OR u.id = e.group_id
    )
    SELECT digits, routing, entries, group_id, min(name), min(fault), bool_or(is_ruled)
      FROM tried
     GROUP BY digits, routing, entries, group_id
    HAVING NOT coalesce(bool_or(fault IS NULL AND is_ruled AND is_sold), false)
     ORDER BY digits, routing
"""
)


def dead_ends(connection: psycopg.Connection[Any], at: str) -> Iterator[Finding]:
    """Yield emergency routes and ported numbers that lead to nobody. at: the moment, ISO 8601."""
    moment = {"at": at}
    for number, domain, region, faults, is_answered in connection.execute(_EMERGENCY, moment):
        place = f" of {domain or region}" if domain or region else ""
        ends = "others answer it" if is_answered else "nobody answers it"
        yield Finding("dead_end", f"emergency number {number}{place}", f"{faults}; {ends}")
    for digits, routing, entries, group_id, name, fault, is_ruled in connection.execute(_PORTED, moment):
        more = f" and {entries - 1} more" if entries > 1 else ""
        if group_id is None:
            what = f"no usable carrier takes routing number {routing}"
        elif fault:
            what = f"carrier {name}, the only one that may take it, {fault}"
        else:
            lack = "rule" if not is_ruled else "rate"
            what = f"carrier {name}, the only one that may take it, has no {lack} for routing number {routing}"
        yield Finding("dead_end", f"ported number {digits}{more}", what)
