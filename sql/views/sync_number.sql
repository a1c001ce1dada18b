-- Number. name: num:<digits>; key_number finds it by an index. A pilot's numbers with an extension of digits behind them reach that extension, as far as
-- the pilot takes calls. Where two pilots have such a number it is that of the longer number, as a number of its own comes before both.
set local role tandem_owner;

create view sync.number with (security_invoker = true) as
select 'num:' || n.e164 as name,
       n.e164::text as number,
       n.account_id,
       case n.status when 'active' then 0 when 'suspended' then 1 when 'closed' then 2 end as status,
       coalesce(s.username || '@' || d.name, '') as subscriber,
       coalesce('user:' || n.user_id, 'grp:' || n.ring_group_id, 'flow:' || n.callflow_id, 'media:' || n.media_server_id, '') as "to",
       coalesce(n.media_user, '') as to_user,
       n.e164::text as key_number
  from tandem.number n
  left join tandem.subscriber s on s.id = n.subscriber_id
  left join tandem.sip_domain d on d.id = s.sip_domain_id
union all
select 'num:' || n.e164 || x.dialled,
       n.e164 || x.dialled,
       n.account_id,
       greatest(case n.status when 'active' then 0 when 'suspended' then 1 when 'closed' then 2 end,
                case p.status when 'active' then 0 when 'suspended' then 1 when 'closed' then 2 end,
                case when tandem.lock_rank(p.lock) >= tandem.lock_rank('all') then 1 else 0 end),
       coalesce(s.username || '@' || d.name, ''),
       coalesce('user:' || x.user_id, 'grp:' || x.ring_group_id, 'flow:' || x.callflow_id, 'num:' || x.e164, 'media:' || x.media_server_id, ''),
       coalesce(x.media_user, ''),
       n.e164::text
  from tandem.number n
  join tandem.subscriber p on p.id = n.subscriber_id and p.kind = 'pilot'
  join tandem.extension x on x.account_id = n.account_id and x.dialled ~ '^[0-9]+$'
  left join tandem.subscriber s on s.id = x.subscriber_id
  left join tandem.sip_domain d on d.id = s.sip_domain_id
 where length(n.e164) + length(x.dialled) <= 15
   and not exists (select from tandem.number o where o.e164 = n.e164 || x.dialled)
   and not exists (select from generate_series(length(n.e164) + 1, length(n.e164) + length(x.dialled) - 1) as longer
                     join tandem.number o on o.e164 = left(n.e164 || x.dialled, longer)
                     join tandem.subscriber q on q.id = o.subscriber_id and q.kind = 'pilot'
                     join tandem.extension y on y.account_id = o.account_id and y.dialled = substr(n.e164 || x.dialled, longer + 1));
comment on view sync.number is
  'Number of kemi/records; subscriber and to are empty while the number reaches nobody. Of a pilot also what stands behind its numbers.';
