"""What a tenant sees of a call, asked of the database under the tenant's own policies.

Rule 1: nothing is decided here. A claim holds when the row that it names is there for the role and account that read.
Rule 2: carriers, their servers and rules in full are the reader's own ones only, whatever else its policies show: what
an account below buys at is that account's margin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, LiteralString

from tools.explain.sentences import (
    ACCOUNT,
    CARRIER,
    FILTER,
    LEVEL,
    LINE,
    NAMED,
    REWRITE,
    ROUTE,
    SERVER,
    SOURCE,
    TARIFF,
    TIMES,
    Claim,
)
from tools.session import Session

ID_MAX: Final = 2**63 - 1

_BY_ID: Final[Mapping[str, LiteralString]] = MappingProxyType(
    {
        ACCOUNT: "select id from tandem.account where id = any (%(keys)s) and tandem.acting_saw(id, %(at)s)",
        TARIFF: "select id from tandem.tariff where id = any (%(keys)s)",
        SOURCE: """
            select t.id from tandem.trusted_source t join tandem.subscriber s on s.id = t.subscriber_id
             where t.id = any (%(keys)s) and tandem.acting_saw(s.account_id, %(at)s)""",
        REWRITE: "select id from tandem.rewrite_rule where id = any (%(keys)s)",
        LEVEL: "select id from tandem.barring_level where id = any (%(keys)s)",
        TIMES: "select id from tandem.time_set where id = any (%(keys)s)",
        NAMED: "select unnest(tandem.names_carrier(%(keys)s::bigint[]))",
        CARRIER: "select id from tandem.peering_group where id = any (%(keys)s) and account_id = %(reader)s",
        ROUTE: "select id from tandem.peering_rule where id = any (%(keys)s) and account_id = %(reader)s",
        SERVER: """
            select s.id from tandem.peering_server s join tandem.peering_group g on g.id = s.group_id
             where s.id = any (%(keys)s) and g.account_id = %(reader)s""",
        FILTER: """
            select r.id from tandem.inbound_rule r join tandem.peering_group g on g.id = r.group_id
             where r.id = any (%(keys)s) and g.account_id = %(reader)s""",
    }
)
_BY_TEXT: Final[Mapping[str, LiteralString]] = MappingProxyType(
    {
        LINE: """
            select w.name from unnest(%(keys)s::text[]) as w(name)
              join tandem.sip_domain d on d.name = split_part(w.name, '@', 2)
              join tandem.subscriber s on s.sip_domain_id = d.id and s.username = split_part(w.name, '@', 1)
             where tandem.acting_saw(s.account_id, %(at)s)""",
    }
)
_OWN_ADDRESS: Final = """
select exists (select from tandem.trusted_source t where t.network >>= %(address)s::inet)
    or exists (select from tandem.peering_server s join tandem.peering_group g on g.id = s.group_id
                where s.address = %(address)s::inet and g.account_id = %(reader)s)
"""


class Sight:
    """What a reader sees, by the policies of its session."""

    def __init__(self, reader: Session, at: datetime | None = None) -> None:
        self._reader = reader
        self._at = at

    def then(self, at: datetime) -> Sight:
        """Return what the reader may know of what happened at that time: not of accounts that came to it later."""
        return Sight(self._reader, at)

    @property
    def reader_id(self) -> int:
        """Who reads."""
        return self._reader.account_id

    def of(self, claims: Iterable[Claim]) -> frozenset[Claim]:
        """Return those of the claims that hold, as far as the database can tell: one query for each kind of thing."""
        keys: dict[str, list[str]] = {}
        for claim in claims:
            keys.setdefault(claim.what, []).append(claim.key)
        held: set[Claim] = set()
        for what, query in _BY_ID.items():
            ids = [int(key) for key in keys.get(what, ()) if int(key) <= ID_MAX]
            held.update(Claim(what, str(found)) for found in self._found(query, ids))
        for what, query in _BY_TEXT.items():
            held.update(Claim(what, str(found)) for found in self._found(query, keys.get(what, [])))
        return frozenset(held)

    def sees_account(self, account_id: int) -> bool:
        """Tell whether an account is seen."""
        return bool(self.of((Claim(ACCOUNT, str(account_id)),)))

    def sees_line(self, name: str) -> bool:
        """Tell whether a line is seen, by its address of record."""
        return bool(self.of((Claim(LINE, name),)))

    def owns_address(self, ip: str) -> bool:
        """Tell whether an address is one of the reader's trusted sources, or of its own carriers' servers."""
        arguments = {"address": ip, "reader": self.reader_id}
        return bool(self._reader.connection.execute(_OWN_ADDRESS, arguments).fetchall()[0][0])

    def _found(self, query: LiteralString, keys: list[int] | list[str]) -> list[int | str]:
        if not keys:
            return []
        arguments = {"keys": keys, "reader": self.reader_id, "at": self._at}
        return [row[0] for row in self._reader.connection.execute(query, arguments).fetchall()]
