-- User. name: user:<id>.
set local role tandem_owner;

create view sync.user with (security_invoker = true) as
select 'user:' || u.id as name,
       u.id,
       u.account_id,
       u.name::text as label,
       case u.status when 'active' then 0 when 'suspended' then 1 when 'closed' then 2 end as status,
       coalesce((select jsonb_agg(s.username || '@' || d.name order by s.id)
                   from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id where s.user_id = u.id), '[]') as lines,
       u.dnd,
       u.ring_s,
       u.calls_max,
       coalesce((select jsonb_agg(jsonb_build_array(
                          f.id, f.kind, coalesce('sub:' || ts.username || '@' || td.name, 'user:' || f.to_user_id, 'grp:' || f.to_ring_group_id, 'flow:' || f.to_callflow_id, 'num:' || f.to_e164, 'media:' || f.to_media_server_id, ''),
                          coalesce(f.to_media_user, ''), f.after_s, coalesce(f.time_set_id, 0), f.callers) order by f.kind, f.priority)
                   from tandem.forward f
                   left join tandem.subscriber ts on ts.id = f.to_subscriber_id
                   left join tandem.sip_domain td on td.id = ts.sip_domain_id
                  where f.user_id = u.id), '[]') as forwards
  from tandem.user u;
comment on view sync.user is 'User of kemi/records.';
