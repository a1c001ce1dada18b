-- BarringLevel. name: bar:<id>.
set local role tandem_owner;

create view sync.barring_level with (security_invoker = true) as
select 'bar:' || b.id as name,
       b.id,
       b.name::text as label,
       b.mode = 'whitelist' as is_whitelist,
       coalesce((select jsonb_agg(jsonb_build_array(r.id, r.pattern) order by r.id)
                   from tandem.barring_rule r where r.barring_level_id = b.id), '[]') as rules,
       coalesce(b.time_set_id, 0) as time_set_id,
       b.spares_internal
  from tandem.barring_level b;
comment on view sync.barring_level is 'BarringLevel of kemi/records.';
