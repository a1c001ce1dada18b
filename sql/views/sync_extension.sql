-- Extension. name: ext:<account>:<dialled>; key_account_id, key_dialled find it by an index. Users' names that are words, too.
set local role tandem_owner;

create view sync.extension with (security_invoker = true) as
select 'ext:' || x.account_id || ':' || x.dialled as name,
       x.account_id,
       x.dialled,
       coalesce('sub:' || ts.username || '@' || td.name, 'user:' || x.user_id, 'grp:' || x.ring_group_id, 'flow:' || x.callflow_id, 'num:' || x.e164, 'media:' || x.media_server_id, '') as "to",
       coalesce(x.media_user, '') as to_user,
       x.account_id as key_account_id
  from tandem.extension x
  left join tandem.subscriber ts on ts.id = x.subscriber_id
  left join tandem.sip_domain td on td.id = ts.sip_domain_id
union all
select 'ext:' || u.account_id || ':' || lower(u.name),
       u.account_id,
       lower(u.name),
       'user:' || u.id,
       '',
       u.account_id
  from tandem.user u
 where tandem.is_word(u.name)
   and not exists (select from tandem.extension x where x.account_id = u.account_id and x.dialled = lower(u.name));
comment on view sync.extension is 'Extension of kemi/records: what is dialled, and the names of users as long as nothing else is dialled so.';
