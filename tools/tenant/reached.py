"""What leads to a user, a group or a callflow: numbers, extensions, forwards, overflows, steps, groups that name it."""

from __future__ import annotations

from typing import Final

from tools.tenant import kinds
from tools.tenant.model import Field

# {by}: the column that names whom it reaches; {step}: that of a step of a callflow. In the order in which it is told.
_LEADS: Final = """
select 1 as place, 'number ' || n.e164 as said from tandem.number n where n.{by} = r.id
union all
select 2, 'extension ' || x.dialled from tandem.extension x where x.{by} = r.id
union all
select 4, 'forward ' || f.kind || '/' || f.priority || ' of '
          || coalesce('subscriber ' || s.username || '@' || d.name, 'user ' || u.name)
  from tandem.forward f
  left join tandem.subscriber s on s.id = f.subscriber_id
  left join tandem.sip_domain d on d.id = s.sip_domain_id
  left join tandem.user u on u.id = f.user_id
 where f.to_{by} = r.id
union all
select 5, 'overflow of group ' || g.name from tandem.ring_group g where g.overflow_{by} = r.id
union all
select 6, 'step ' || c.position || ' of callflow ' || w.name
  from tandem.callflow_step c join tandem.callflow w on w.id = c.callflow_id where c.{step} = r.id
"""
# Of users only: one of a name that can be dialled has an extension of that name (sync.extension; a tenant may not ask
# tandem.is_word), unless something else is dialled so.
_USERS: Final = """
union all
select 3, 'its name ' || lower(r.name)
 where lower(r.name) ~ '^([0-9*#]{1,8}|[a-z][a-z0-9._-]{0,63})$'
   and not exists (select from tandem.extension x where x.account_id = r.account_id and x.dialled = lower(r.name))
union all
select 7, 'member ' || m.position || ' of group ' || g.name
  from tandem.ring_group_member m join tandem.ring_group g on g.id = m.ring_group_id where m.user_id = r.id
"""
_LIST: Final = "(select coalesce(jsonb_agg(l.said order by l.place, l.said), '[]') from ({leads}) as l)"


def reached_by(column: str, step: str = "") -> Field:
    """Return the field that tells what leads to a row.

    column: the one that names such a row where calls lead to it. step: that of a step of a callflow, "" = the same.
    """
    leads = _LEADS.format(by=column, step=step or column) + (_USERS if column == "user_id" else "")
    computed = _LIST.format(leads=leads)
    return Field("reached_by", kinds.several(kinds.NAMED, "a list"), "What leads to it.", computed=computed)
