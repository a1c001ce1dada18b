-- Masks. name: masks. Always one row.
-- An index answers each length of trusted sources: there may be a million of them, and each change of one comes here.
set local role tandem_owner;

create view sync.masks with (security_invoker = true) as
with server as (
  select distinct family(n) as family, masklen(n) as bits
    from tandem.peering_server s
    join tandem.peering_group g on g.id = s.group_id
    cross join lateral tandem.networks_of_server(s.id, s.address, s.aliases) as n
   where s.enabled and g.enabled
), mask as (
  select family, bits from server
  union
  select f.family, bits
    from (values (4, 32), (6, 128)) as f(family, longest)
    cross join lateral generate_series(0, f.longest) as bits
    cross join lateral (
      select from tandem.trusted_source t
       where t.enabled and family(t.network) = f.family and masklen(t.network) = bits limit 1) as found
)
select 'masks' as name,
       coalesce(array_agg(bits order by bits desc) filter (where family = 4), '{}') as v4,
       coalesce(array_agg(bits order by bits desc) filter (where family = 6), '{}') as v6
  from mask;
comment on view sync.masks is 'Masks of kemi/records.';
