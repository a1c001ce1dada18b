-- Parts a rate set into ranges of fields, low <= field < high, so that packing one of them takes some hundredths of a
-- second: one range for 20000 rates, 90 by two digits above that, 900 by three above 200000. In order, without gaps.
-- of_set: any; one that does not exist has one range, with nothing in it.
set local role tandem_owner;

create or replace function tandem.rate_ranges_v1(of_set bigint) returns table (low text, high text)
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
  with size as (
    select count(*) as rates from (select from tandem.rate r where r.rate_set_id = of_set limit 200001) as r
  ), step as (
    select case when s.rates <= 20000 then 0 when s.rates <= 200000 then 10 else 100 end as first from size s
  ), bound as (
    select '' as low
    union all select n::text from step s cross join lateral generate_series(s.first + 1, s.first * 10 - 1) as n where s.first > 0
  )
  select b.low collate "C", lead(b.low, 1, ':') over (order by b.low collate "C") from bound b order by 1  -- a colon sorts after the digits
$$;
comment on function tandem.rate_ranges_v1 is 'Ranges of the fields of a rate set, small enough to be packed at once.';
revoke execute on function tandem.rate_ranges_v1 from public;
grant execute on function tandem.rate_ranges_v1 to tandem_sync, tandem_tool;
