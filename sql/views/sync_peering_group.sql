-- PeeringGroup. name: pg:<id>. Disabled servers are there and say so; disabled inbound rules are left out.
-- A server with a name has the lowest address that it stands for, empty while there is none.
set local role tandem_owner;

create view sync.peering_group with (security_invoker = true) as
select 'pg:' || g.id as name,
       g.id,
       g.name::text as label,
       g.account_id,
       g.priority,
       g.enabled,
       g.tariff_id,
       t.currency,
       coalesce(g.rewrite_set_id, 0) as rewrite_set_id,
       coalesce((
         select jsonb_agg(jsonb_build_array(
                  s.id, s.name, coalesce(host(s.address), host(found.address), ''), s.port, s.transport, s.weight, s.enabled,
                  coalesce(s.rewrite_set_id, 0), s.socket, s.probe, s.channels_max, s.cps_max, s.ring_max_s, s.pdd_max_ms, s.redirects, s.ported,
                  hunt.rules,
                  jsonb_build_array(s.is_trusted, s.identity_shown, to_jsonb(s.identity_headers), s.identity_host),
                  case when s.login_username is not null
                    then jsonb_build_array(s.login_username, s.login_realm, s.login_ha1, s.login_register_s,
                                           coalesce(nullif(s.login_contact_user, ''), s.login_username)) end) order by s.id)
           from tandem.peering_server s
           left join lateral (
             select a.address from tandem.peering_server_address a where a.server_id = s.id order by a.address limit 1) as found on true
           cross join lateral (
             select coalesce(jsonb_agg(jsonb_build_array(h.status, h.action, coalesce(h.told_status, 0), coalesce(h.told_phrase, ''))
                                       order by h.status), '[]') as rules
               from tandem.hunt_rule h where h.server_id = s.id) as hunt
          where s.group_id = g.id), '[]') as servers,
       coalesce((select jsonb_agg(jsonb_build_array(i.id, i.priority, i.field, i.part, i.pattern, coalesce(i.code, 0),
                                                    coalesce(i.phrase, '')) order by i.priority)
                   from tandem.inbound_rule i where i.group_id = g.id and i.enabled), '[]') as inbound_rules,
       coalesce(c.spent, '') as spent,
       g.share,
       g.may_return
  from tandem.peering_group g
  left join tandem.carrier_state c on c.group_id = g.id
  join tandem.tariff t on t.id = g.tariff_id;
comment on view sync.peering_group is 'PeeringGroup of kemi/records.';
