-- Compares the gathered rates of a file, as they hold at a moment, with a rate set.
-- base: the set in force then without the file; null = no prices. is_full: what the file does not name at any moment is removed.
-- rise_max, fall_max: per cent; changes beyond are counted in beyond_rise and beyond_fall.
-- Leaves the difference in a temporary table for tandem.build_rates_v1, where `what` is
--   n new  r removed  + dearer  - cheaper  = the same  t other terms (increments, fees, periods)  f forbidden from now on  a allowed again
-- Returns counts and the five largest changes either way. To be called with rising moments.
set local role tandem_owner;

create or replace function tandem.diff_rates_v1(
  of_tariff bigint, at_moment timestamptz, base bigint, is_full boolean, rise_max numeric, fall_max numeric) returns jsonb
language plpgsql security definer
  set search_path = pg_catalog, pg_temp set work_mem = '96MB' set jit = off set max_parallel_workers_per_gather = 0
as $$
declare
  here  integer[];
  later integer[];
begin
  perform tandem.check_may_price(of_tariff);
  perform tandem.check_stage('{import_rate,import_moment,import_price,import_diff}');
  if base is not null and not exists (select from tandem.rate_set s where s.id = base and s.tariff_id = of_tariff) then
    raise check_violation using message = format('rate set %s is none of tariff %s', base, of_tariff);
  end if;
  here := array(select m.idx from pg_temp.import_moment m where m.at <= at_moment);
  later := array(select m.idx from pg_temp.import_moment m where m.at > at_moment);
  if cardinality(here) > 1 then  -- of several moments that have come the newest counts
    delete from pg_temp.import_rate r
     using pg_temp.import_moment m, pg_temp.import_rate n, pg_temp.import_moment o
     where m.idx = r.moment and n.prefix = r.prefix and o.idx = n.moment and m.at < o.at and o.at <= at_moment;
  end if;
  truncate pg_temp.import_diff;
  insert into pg_temp.import_diff(prefix, old_class, price, what, old_micros, new_micros)
  with old as (
    select c.*, exists (select from tandem.rate_class_period p where p.rate_set_id = c.rate_set_id and p.class_idx = c.idx) as has_periods
      from tandem.rate_class c where c.rate_set_id = base
  ), was as (
    select r.prefix, r.class_idx from sync.rate r where r.rate_set_id = base
  ), said as (
    select r.prefix, r.price from pg_temp.import_rate r where r.moment = any (here)
  ), kept as (
    select r.prefix from pg_temp.import_rate r where r.moment = any (later) and is_full
  )
  select coalesce(w.prefix, s.prefix), w.class_idx, nullif(s.price, -1),
         case when w.prefix is null then 'n'
              when s.price = -1 or (s.prefix is null and is_full and k.prefix is null) then 'r'
              when s.prefix is null then '='
              when p.forbidden and o.forbidden then '='
              when p.forbidden then 'f'
              when o.forbidden then 'a'
              when p.per_min_micros > o.per_min_micros then '+'
              when p.per_min_micros < o.per_min_micros then '-'
              when (p.first_s, p.next_s, p.connect_micros, p.min_micros) <> (o.first_s, o.next_s, o.connect_micros, o.min_micros)
                or o.has_periods then 't'
              else '=' end,
         o.per_min_micros, p.per_min_micros
    from was w
    full join said s on s.prefix = w.prefix
    left join kept k on k.prefix = w.prefix
    left join old o on o.idx = w.class_idx
    left join pg_temp.import_price p on p.idx = s.price
   where w.prefix is not null or s.price <> -1;
  analyze pg_temp.import_diff;
  return tandem.sum_up_rates(base, rise_max, fall_max);
end $$;
comment on function tandem.diff_rates_v1 is 'Compare the gathered rates of a file with a rate set; returns what would change.';
revoke execute on function tandem.diff_rates_v1 from public;
grant execute on function tandem.diff_rates_v1 to tandem_tool, tandem_tenant;
