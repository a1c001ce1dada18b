-- Emergency. name: emergency. Always one row.
set local role tandem_owner;

create view sync.emergency with (security_invoker = true) as
select 'emergency' as name,
       coalesce(jsonb_agg(jsonb_build_array(e.domain, e.number, to_jsonb(e.group_ids), e.region, e.routing)
                          order by e.domain, e.region, e.number), '[]') as routes
  from tandem.emergency_route e;
comment on view sync.emergency is 'Emergency of kemi/records.';
