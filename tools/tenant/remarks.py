"""What is accepted and still reaches nobody is said at once: by a command about its row, by a file about new ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple

from tools.printable import printable
from tools.session import Connection, shown
from tools.tenant import read
from tools.tenant.world import Address, Current, Row, Stored, Wanted

NO_MEMBER: Final = "without a member, so it calls nobody"
_OVERFLOWS: Final = ("subscriber", "user", "group", "callflow", "number", "media")
NO_PLACE: Final = "without a place, so it takes no calls"
IP_TRUNK: Final = "ip_trunk"
WORD: Final = "^([0-9*#]{1,8}|[a-z][a-z0-9._-]{0,63})$"  # tandem.is_word, which a tenant may not ask
NO_WORD: Final = "that is no word of a-z, 0-9, dot, _ and -, and has not up to 8 digits"

ADDED: Final = "added"
REMOVED: Final = "removed"


class Remark(NamedTuple):
    """Sentences about one row. query: gives them; key = the row's id, of what belongs to a row that one's.

    after: what asks for them: changes of these fields, ADDED or REMOVED; () = whatever happened.
    """

    query: str
    after: tuple[str, ...] = ()


_NO_PLACE: Final = """
select 'no calls go to it until it has a place: tandem subscriber place add ADDRESS --subscriber '
       || s.username || '@' || d.name
  from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
 where s.id = %(key)s and s.kind = 'ip_trunk'
   and not exists (select from tandem.trunk_place p where p.subscriber_id = s.id)
union all
select 'its places count only while it is an ip_trunk'
  from tandem.subscriber s
 where s.id = %(key)s and s.kind <> 'ip_trunk'
   and exists (select from tandem.trunk_place p where p.subscriber_id = s.id)
"""
_NO_LOGIN: Final = """
select 'it does not register until it has a password: tandem subscriber passwd ' || s.username || '@' || d.name
  from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
 where s.id = %(key)s and s.kind <> 'ip_trunk'
"""
_NAMED_LIKE_A_USER: Final = """
select format('user #%%s %%L is not called by its name any more: the extension goes first', u.id, u.name)
  from tandem.extension x join tandem.user u on u.account_id = x.account_id and lower(u.name) = x.dialled
 where x.id = %(key)s and x.user_id is distinct from u.id
"""
_DIALLED_LIKE_A_LINE: Final = """
select format('line %%s@%%s is not called by its user name any more: the extension goes first', s.username, d.name)
  from tandem.extension x
  join tandem.subscriber s on s.account_id = x.account_id and s.username = x.dialled
  join tandem.sip_domain d on d.id = s.sip_domain_id
 where x.id = %(key)s and x.subscriber_id is distinct from s.id
   and (x.user_id is null or s.user_id is distinct from x.user_id)
 order by s.id
"""
_NAMED_LIKE_AN_EXTENSION: Final = """
select format('it is not called by its name: extension %%L goes first', x.dialled)
  from tandem.extension x join tandem.user u on u.account_id = x.account_id and lower(u.name) = x.dialled
 where u.id = %(key)s and x.user_id is distinct from u.id
"""
_NAMED_LIKE_A_LINE: Final = """
select format('line %%s@%%s is not called by its user name any more: the user goes first', s.username, d.name)
  from tandem.user u
  join tandem.subscriber s on s.account_id = u.account_id and s.username = lower(u.name)
  join tandem.sip_domain d on d.id = s.sip_domain_id
 where u.id = %(key)s and s.user_id is distinct from u.id
   and not exists (select from tandem.extension x where x.account_id = u.account_id and x.dialled = s.username)
 order by s.id
"""
_NO_WORD: Final = """
select 'it is not called by its name: ' || %(no_word)s
  from tandem.user u
 where u.id = %(key)s and lower(u.name) !~ %(word)s
"""
_NO_LINES: Final = """
select format('no line is its own yet: tandem subscriber set USER@DOMAIN --user #%%s', u.id)
  from tandem.user u
 where u.id = %(key)s and not exists (select from tandem.subscriber s where s.user_id = u.id)
"""
_NO_MEMBERS: Final = """
select format('it calls nobody until it has a member: tandem group member add POSITION --group #%%s', g.id)
  from tandem.ring_group g
 where g.id = %(key)s and not exists (select from tandem.ring_group_member m where m.ring_group_id = g.id)
   and num_nonnulls(g.overflow_subscriber_id, g.overflow_user_id, g.overflow_ring_group_id, g.overflow_callflow_id,
                    g.overflow_e164, g.overflow_media_server_id) = 0
"""
_REMARKS: Final = MappingProxyType(
    {
        "subscriber": (Remark(_NO_PLACE, (ADDED, "kind")), Remark(_NO_LOGIN, (ADDED,))),
        "place": (Remark(_NO_PLACE),),
        "extension": (Remark(_NAMED_LIKE_A_USER), Remark(_DIALLED_LIKE_A_LINE)),
        "user": (
            Remark(_NAMED_LIKE_AN_EXTENSION, (ADDED, "name")),
            Remark(_NAMED_LIKE_A_LINE, (ADDED, "name")),
            Remark(_NO_WORD, (ADDED, "name")),
            Remark(_NO_LINES, (ADDED,)),
        ),
        "group": (Remark(_NO_MEMBERS),),
        "member": (Remark(_NO_MEMBERS),),
    }
)


def remarks(connection: Connection, resource: str, row: read.Row, happened: Collection[str]) -> list[str]:
    """Return what is to be said of a row that was written, or of the line or group that it belongs to; [] = nothing.

    happened: ADDED, REMOVED, or the fields that became others.
    """
    values = {"key": row.parent_id or row.primary[0], "word": WORD, "no_word": NO_WORD}
    return [
        printable(said)
        for each in _REMARKS.get(resource, ())
        if not each.after or not set(each.after).isdisjoint(happened)
        for (said,) in connection.execute(each.query, values).fetchall()
    ]


def of_file(wanted: Wanted, current: Current) -> Iterator[tuple[Address, str]]:
    """Yield what is to be said of rows that a file adds."""
    placed = {row.under for row in wanted.rows.values() if row.at.resource in {"place", "member"}}
    called: dict[tuple[object, str], dict[Address, Row | Stored]] = {}
    for each in chain[Row | Stored](current.rows.values(), wanted.rows.values()):
        if each.at.resource in {"user", "subscriber"}:
            called.setdefault((each.owner, str(each.at.key[0]).lower()), {})[each.at] = each
    for at, row in wanted.rows.items():
        if at not in current.rows:
            namesakes = called.get((row.owner, str(at.key[0]).lower()), {})
            yield from ((at, said) for said in _of_new(row, namesakes, is_empty=at not in placed))


def _of_new(row: Row, namesakes: Mapping[Address, Row | Stored], *, is_empty: bool) -> Iterator[str]:
    """Yield what is to be said of a new row.

    namesakes: users and lines of its account that are called so, in any case. is_empty: it has no place and no member.
    """
    resource, name = row.at.resource, str(row.at.key[0])
    if resource == "subscriber" and row.values.get("kind") == IP_TRUNK and is_empty:
        yield NO_PLACE
    elif resource == "group" and is_empty and not any(row.values.get(f"overflow_{each}") for each in _OVERFLOWS):
        yield NO_MEMBER
    elif resource == "extension":
        yield from _hidden(row, row.values.get("user"), namesakes)
    elif resource == "user":
        if not re.fullmatch(WORD, name.lower()):
            yield f"not called by its name: {NO_WORD}"
        yield from _hidden(row, row.at, namesakes)


def _hidden(row: Row, user: object, namesakes: Mapping[Address, Row | Stored]) -> Iterator[str]:
    """Yield which names a user or an extension goes before. user: the one whose name and lines it reaches anyway."""
    for at, each in namesakes.items():
        name = str(at.key[0])
        if row.at.resource == "extension" and at.resource == "user" and at != user:
            yield f"it goes before the name of user {shown(name)}"
        is_dialled = at.resource == "subscriber" and name == name.lower()
        if is_dialled and row.values.get("subscriber") != at and (user is None or each.values.get("user") != user):
            yield f"it goes before the user name of line {shown('@'.join(map(str, at.key)))}"
