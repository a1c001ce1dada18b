-- Masks. name: masks. Always one row.
set local role tandem_owner;

create view sync.masks with (security_invoker = true) as
with network as (
  select n from tandem.peering_server s
    join tandem.peering_group g on g.id = s.group_id
    cross join lateral tandem.networks_of_server(s.id, s.address, s.aliases) as n
   where s.enabled and g.enabled
  union
  select t.network from tandem.trusted_source t where t.enabled
)
select 'masks' as name,
       coalesce(array_agg(distinct masklen(n) order by masklen(n) desc) filter (where family(n) = 4), '{}') as v4,
       coalesce(array_agg(distinct masklen(n) order by masklen(n) desc) filter (where family(n) = 6), '{}') as v6
  from network;
comment on view sync.masks is 'Masks of kemi/records.';
