-- Subscriber. name: sub:<username>@<domain>.
set local role tandem_owner;

create view sync.subscriber with (security_invoker = true) as
select 'sub:' || s.username || '@' || d.name as name,
       s.id,
       s.username,
       d.name as domain,
       s.account_id,
       case s.status when 'active' then 0 when 'suspended' then 1 when 'closed' then 2 end as status,
       coalesce(s.ha1_md5, '') as ha1_md5,
       coalesce(s.ha1_sha256, '') as ha1_sha256,
       coalesce(s.cli::text, '') as cli,
       s.allowed_clis,
       case s.cli_policy when 'override' then 0 when 'anonymise' then 1 when 'reject' then 2 end as cli_policy,
       coalesce(s.rewrite_set_id, 0) as rewrite_set_id,
       coalesce(s.barring_id, 0) as barring_id,
       coalesce(s.own_barring_id, 0) as own_barring_id,
       s.blocked_in,
       s.blocked_out,
       s.clir as is_hidden,
       s.region,
       tandem.lock_rank(s.lock) as lock,
       s.kind,
       coalesce(s.user_id, 0) as user_id,
       s.dnd,
       coalesce((select jsonb_agg(jsonb_build_array(
                          f.id, f.kind, coalesce('sub:' || ts.username || '@' || td.name, 'user:' || f.to_user_id, 'grp:' || f.to_ring_group_id, 'flow:' || f.to_callflow_id, 'num:' || f.to_e164, 'media:' || f.to_media_server_id, ''),
                          coalesce(f.to_media_user, ''), f.after_s, coalesce(f.time_set_id, 0), f.callers) order by f.kind, f.priority)
                   from tandem.forward f
                   left join tandem.subscriber ts on ts.id = f.to_subscriber_id
                   left join tandem.sip_domain td on td.id = ts.sip_domain_id
                  where f.subscriber_id = s.id), '[]') as forwards,
       s.ring_s,
       s.did_in,
       coalesce((select jsonb_agg(jsonb_build_array(t.id, host(t.address), t.port, t.transport, t.priority, t.weight) order by t.id)
                   from tandem.trunk_place t where t.subscriber_id = s.id), '[]') as places,
       s.contacts_max,
       s.expires_min_s,
       s.expires_max_s,
       s.register_from::text[] as register_from,
       s.digest,
       array_remove(array[
         case when s.calls_max + s.calls_in_max + s.calls_out_max > 0
                   or exists (select from tandem.ring_group_member m join tandem.ring_group g on g.id = m.ring_group_id
                               where m.subscriber_id = s.id and g.skip_busy) then 'line' || s.id || ':' end,
         case when exists (select from tandem.user u where u.id = s.user_id and u.calls_max > 0)
                   or exists (select from tandem.ring_group_member m join tandem.ring_group g on g.id = m.ring_group_id
                               where m.user_id = s.user_id and g.skip_busy) then 'user' || s.user_id || ':' end], null) as counted
  from tandem.subscriber s
  join tandem.sip_domain d on d.id = s.sip_domain_id;
comment on view sync.subscriber is 'Subscriber of kemi/records.';
