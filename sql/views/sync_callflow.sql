-- Callflow. name: flow:<id>. A step's `otherwise` is a place from 0, as its steps stand one behind the other without gaps.
set local role tandem_owner;

create view sync.callflow with (security_invoker = true) as
select 'flow:' || c.id as name,
       c.id,
       c.account_id,
       c.name::text as label,
       coalesce((
         select jsonb_agg(jsonb_build_array(
                  s.kind, coalesce('sub:' || ts.username || '@' || td.name, 'user:' || s.user_id, 'grp:' || s.ring_group_id, 'flow:' || s.flow_id, 'num:' || s.e164, 'media:' || s.media_server_id, ''),
                  coalesce(s.media_user, ''), s.ring_s, coalesce(s.time_set_id, 0), s.callers,
                  (select count(*) from tandem.callflow_step b where b.callflow_id = s.callflow_id and b.position < s.otherwise),
                  coalesce(s.status, 0), s.phrase, s.position) order by s.position)
           from tandem.callflow_step s
           left join tandem.subscriber ts on ts.id = s.subscriber_id
           left join tandem.sip_domain td on td.id = ts.sip_domain_id
          where s.callflow_id = c.id), '[]') as steps
  from tandem.callflow c;
comment on view sync.callflow is 'Callflow of kemi/records.';
