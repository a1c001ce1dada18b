-- TimeSet. name: tset:<id>.
set local role tandem_owner;

create view sync.time_set with (security_invoker = true) as
select 'tset:' || t.id as name,
       t.id,
       t.name::text as label,
       t.timezone,
       coalesce((select jsonb_agg(jsonb_build_array(lower(s.span), upper(s.span)) order by s.span)
                   from tandem.time_set_span s where s.time_set_id = t.id), '[]') as spans,
       coalesce((select jsonb_agg(jsonb_build_array(d.first_day, d.last_day) order by d.first_day, d.last_day)
                   from tandem.time_set_day d where d.time_set_id = t.id and d.kind = 'shut'), '[]') as shut,
       coalesce((select jsonb_agg(jsonb_build_array(d.first_day, d.last_day) order by d.first_day, d.last_day)
                   from tandem.time_set_day d where d.time_set_id = t.id and d.kind = 'open'), '[]') as open
  from tandem.time_set t;
comment on view sync.time_set is 'TimeSet of kemi/records.';
