-- Brings together what tandem.stage_rates_v1's tables were given: one row per prefix and moment, the prices as they stand.
-- Locks the tariff until commit, so that what is compared with stays what it is.
-- Returns what contradicts itself: line and other_line give `prefix` two prices for the same moment. Nothing = all is well.
set local role tandem_owner;

create or replace function tandem.gather_rates_v1(of_tariff bigint)
  returns table (line integer, other_line integer, prefix text)
language plpgsql security definer
  set search_path = pg_catalog, pg_temp set work_mem = '96MB' set jit = off set max_parallel_workers_per_gather = 0
as $$
begin
  perform tandem.check_may_price(of_tariff);
  perform tandem.check_stage('{import_row,import_moment,import_price}');
  perform from tandem.tariff t where t.id = of_tariff for no key update;
  analyze pg_temp.import_row;
  create temporary table import_rate on commit drop as
  select r.prefix::text collate "C" as prefix, r.moment, min(r.price) as price, max(r.price) as other_price
    from pg_temp.import_row r group by 1, 2;
  grant select on pg_temp.import_rate to tandem_tool, tandem_tenant;
  analyze pg_temp.import_rate;
  create temporary table import_diff (
    prefix text collate "C" not null, old_class integer, price integer, what "char" not null, old_micros bigint, new_micros bigint)
    on commit drop;
  if not exists (select from pg_temp.import_rate r where r.price <> r.other_price) then
    return;
  end if;
  return query
  select s.first_line, min(s.line), s.prefix
    from (select i.prefix, i.moment, i.line, i.price, first_value(i.line) over said as first_line, first_value(i.price) over said as first_price
            from pg_temp.import_row i
            join pg_temp.import_rate r on r.prefix = i.prefix and r.moment = i.moment and r.price <> r.other_price
          window said as (partition by i.prefix, i.moment order by i.line)) as s
   where s.price <> s.first_price group by s.prefix, s.moment, s.first_line order by 2, 3;
end $$;
comment on function tandem.gather_rates_v1 is 'Bring together the staged rates of a file; returns its contradictions.';
revoke execute on function tandem.gather_rates_v1 from public;
grant execute on function tandem.gather_rates_v1 to tandem_tool, tandem_tenant;
