-- PeeringGroup. name: pg:<id>. Disabled servers are there and say so; disabled inbound rules are left out.
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
       coalesce((select jsonb_agg(jsonb_build_array(s.id, s.name, host(s.address), s.port, s.transport, s.weight, s.enabled,
                                                    coalesce(s.rewrite_set_id, 0)) order by s.id)
                   from tandem.peering_server s where s.group_id = g.id), '[]') as servers,
       coalesce((select jsonb_agg(jsonb_build_array(i.id, i.priority, i.field, i.part, i.pattern, coalesce(i.code, 0),
                                                    coalesce(i.phrase, '')) order by i.priority)
                   from tandem.inbound_rule i where i.group_id = g.id and i.enabled), '[]') as inbound_rules,
       coalesce(c.spent, '') as spent
  from tandem.peering_group g
  left join tandem.carrier_state c on c.group_id = g.id
  join tandem.tariff t on t.id = g.tariff_id;
comment on view sync.peering_group is 'PeeringGroup of kemi/records.py.';
