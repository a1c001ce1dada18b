-- Makes the ready rate set that tandem.diff_rates_v1 has compared with `base`; nothing names it yet.
-- base: of this tariff. Returns the id of the new one; null where nothing differs. Few changes of a large set become a layer on it, all else a full set:
-- rates that stay keep their prices, periods included.
-- Raises check_violation for a set without rates, or with more than 65536 different prices.
set local role tandem_owner;

create or replace function tandem.build_rates_v1(of_tariff bigint, base bigint) returns bigint
language plpgsql security definer
  set search_path = pg_catalog, pg_temp set work_mem = '96MB' set jit = off set max_parallel_workers_per_gather = 0
as $$
declare
  changed bigint;
  total   bigint;
  classes bigint;
  made    bigint;
begin
  perform tandem.check_may_price(of_tariff);
  perform tandem.check_stage('{import_diff,import_price}');
  if base is not null and not exists (select from tandem.rate_set s where s.id = base and s.tariff_id = of_tariff) then
    raise check_violation using message = format('rate set %s is none of tariff %s', base, of_tariff);
  end if;
  select count(*) filter (where d.what <> '='), count(*) filter (where d.what <> 'r') into changed, total from pg_temp.import_diff d;
  if changed = 0 then
    return null;
  elsif total = 0 then
    raise check_violation using message = format('tariff %s would have no rates left', of_tariff);
  elsif base is not null and changed <= 5000 and changed * 20 <= total
        and (select cardinality(s.layers) < 8 from tandem.rate_set s where s.id = base) then
    return tandem.edit_rate_set_v1(base, (
      select jsonb_agg(jsonb_build_object('prefix', d.prefix, 'price', case when d.what <> 'r' then to_jsonb(p) - 'idx' end))
        from pg_temp.import_diff d left join pg_temp.import_price p on p.idx = d.price where d.what <> '='));
  end if;

  insert into tandem.rate_set(tariff_id, version)
  select of_tariff, 1 + coalesce(max(s.version), 0) from tandem.rate_set s where s.tariff_id = of_tariff returning id into made;
  drop table if exists pg_temp.import_class;
  create temporary table import_class on commit drop as  -- which class a price of the file, or a class of the base, is in the new set
  select x.old_class, x.price, x.said, (dense_rank() over (order by x.said) - 1)::integer as idx
    from (select distinct d.old_class, null::integer as price, c.price as said
            from pg_temp.import_diff d join tandem.price_classes(base) as c on c.idx = d.old_class where d.what = '='
          union all
          select null, p.idx, tandem.price_of(to_jsonb(p)) from pg_temp.import_price p
           where p.idx in (select d.price from pg_temp.import_diff d where d.what not in ('=', 'r'))) as x;
  select count(distinct c.idx) into classes from pg_temp.import_class c;
  if classes > 65536 then
    raise check_violation using message = format('the deck would have %s different prices; at most 65536 are allowed', classes);
  end if;
  perform tandem.fill_rates(made, base);
  update tandem.rate_set set state = 'ready' where id = made;
  return made;
end $$;
comment on function tandem.build_rates_v1 is 'Make the rate set that the gathered rates of a file lead to; returns its id.';
revoke execute on function tandem.build_rates_v1 from public;
grant execute on function tandem.build_rates_v1 to tandem_tool, tandem_tenant;
