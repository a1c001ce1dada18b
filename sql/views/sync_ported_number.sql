-- PortedNumber. name: lnp:<digits>.
set local role tandem_owner;

create view sync.ported_number with (security_invoker = true) as
select 'lnp:' || p.digits as name,
       p.digits::text as digits,
       p.routing::text as routing,
       coalesce(p.group_id, 0) as group_id
  from tandem.ported_number p;
comment on view sync.ported_number is 'PortedNumber of kemi/records.';
