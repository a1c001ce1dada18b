-- RingGroup. name: grp:<id>.
set local role tandem_owner;

create view sync.ring_group with (security_invoker = true) as
select 'grp:' || g.id as name,
       g.id,
       g.account_id,
       g.name::text as label,
       g.policy,
       coalesce((select jsonb_agg(jsonb_build_array(coalesce('sub:' || s.username || '@' || d.name, 'user:' || m.user_id), m.ring_s) order by m.position)
                   from tandem.ring_group_member m
                   left join tandem.subscriber s on s.id = m.subscriber_id
                   left join tandem.sip_domain d on d.id = s.sip_domain_id
                  where m.ring_group_id = g.id), '[]') as members,
       g.member_s,
       g.total_s,
       g.skip_busy,
       coalesce('sub:' || ts.username || '@' || td.name, 'user:' || g.overflow_user_id, 'grp:' || g.overflow_ring_group_id, 'flow:' || g.overflow_callflow_id, 'num:' || g.overflow_e164, 'media:' || g.overflow_media_server_id, '') as overflow,
       coalesce(g.overflow_media_user, '') as overflow_user
  from tandem.ring_group g
  left join tandem.subscriber ts on ts.id = g.overflow_subscriber_id
  left join tandem.sip_domain td on td.id = ts.sip_domain_id;
comment on view sync.ring_group is 'RingGroup of kemi/records.';
