-- Packs what one rate set says itself into the buckets of its hash in Redis: the layout of kemi/core/prefix.py.
-- of_set: a ready one. low, high: fields with low <= field < high; '' and ':' are all.
-- A field that the set takes away comes empty. A set on others has "layers" too: their ids, newest first; it comes once,
-- below every digit's range: with low ''.
set local role tandem_owner;

create or replace function tandem.rate_buckets_v1(of_set bigint, low text, high text) returns table (field text, bucket bytea)
language sql stable set search_path = pg_catalog, pg_temp set jit = off set work_mem = '32MB' set max_parallel_workers_per_gather = 0
as $$
  with own as (
    select left(r.prefix, 4) as field, greatest(length(r.prefix) - 4, 0) as digits, r.prefix::text collate "C" as prefix, r.class_idx
      from tandem.rate r
     where r.rate_set_id = of_set and r.prefix >= low collate "C" and r.prefix < high collate "C"
  ), section as (
    select o.field, o.digits,
           substr(int4send(o.digits), 4) || substr(int4send(count(*)::integer), 2)
           || string_agg(decode(substr(o.prefix, 5) || case when o.digits % 2 = 1 then '0' else '' end, 'hex')
                         || substr(int4send(o.class_idx), 3), ''::bytea order by o.prefix) as packed
      from own o group by o.field, o.digits
  )
  select s.field collate "C", string_agg(s.packed, ''::bytea order by s.digits desc) from section s group by s.field
  union all
  select f.field, ''::bytea from tandem.rate_field f
   where f.rate_set_id = of_set and f.field >= low collate "C" and f.field < high collate "C"
     and not exists (select from section s where s.field = f.field)
  union all
  select 'layers', convert_to(array_to_string(s.layers[2:], ','), 'UTF8') from tandem.rate_set s
   where s.id = of_set and s.layers <> '{}' and low = ''
  order by 1
$$;
comment on function tandem.rate_buckets_v1 is 'The packed buckets of one rate set in a range of fields.';
revoke execute on function tandem.rate_buckets_v1 from public;
grant execute on function tandem.rate_buckets_v1 to tandem_sync, tandem_tool;
