-- Makes a new version of a rate set in which some prefixes cost something else; all other rates are shared with it.
-- of_set: a ready one. edits: [{"prefix": "4420", "price": {…} or null}, …]; null takes the prefix away.
--   A price: per_min_micros, first_s, next_s, connect_micros, forbidden, min_micros, and
--   "periods": {"<name of a period of the set>": {"per_min_micros", "connect_micros"}}. What is not said is as by default.
-- A tenant has the right prices, and sees the owner. Returns the new set, ready, and not yet in force. It copies only the
-- fields that the edits touch. On a set that stands on 7 others already it copies what these 7 touch, too, unless that is more
-- than 100000 rates: then a full set is due.
set local role tandem_owner;

create or replace function tandem.edit_rate_set_v1(of_set bigint, edits jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  before tandem.rate_set;
  base   bigint := of_set;
  merged bigint[] := '{}';
  made   bigint;
begin
  perform tandem.demand('prices');
  if not exists (
    select from tandem.rate_set s join tandem.tariff t on t.id = s.tariff_id where s.id = of_set and tandem.acting_sees(t.account_id))
  then
    raise check_violation using message = format('rate set %s is not a ready one', of_set);  -- as for one that does not exist
  end if;
  perform tandem.check_edits(of_set, edits);
  select * into before from tandem.rate_set s where s.id = of_set;
  perform from tandem.tariff t where t.id = before.tariff_id for no key update;  -- versions count up one by one
  if cardinality(before.layers) = 8 then
    base := before.layers[8];
    merged := before.layers[1:7];
    if (select count(*) > 100000 from tandem.rate r where r.rate_set_id = any (merged)) then
      raise check_violation using message = format('rate set %s stands on 7 others already: a full set is due', of_set);
    end if;
  end if;

  insert into tandem.rate_set(tariff_id, version, base_id)
  select before.tariff_id, 1 + max(s.version), base from tandem.rate_set s where s.tariff_id = before.tariff_id
  returning id into made;
  perform tandem.copy_prices(of_set, made, edits);
  insert into tandem.rate_field(rate_set_id, field)
  select made, left(e.value ->> 'prefix', 4) from jsonb_array_elements(edits) as e
  union select made, f.field from tandem.rate_field f where f.rate_set_id = any (merged);
  insert into tandem.rate(rate_set_id, prefix, class_idx)
  select made, r.prefix, r.class_idx
    from tandem.rate_field f
    cross join lateral tandem.rates_of_field(of_set, f.field) as r
   where f.rate_set_id = made and r.prefix not in (select e.value ->> 'prefix' from jsonb_array_elements(edits) as e)
  union all
  select made, e.value ->> 'prefix', min(c.idx)
    from jsonb_array_elements(edits) as e
    join tandem.price_classes(made) as c on c.price = tandem.price_of(e.value -> 'price')
   where e.value -> 'price' <> 'null'
   group by e.value ->> 'prefix';
  update tandem.rate_set set state = 'ready' where id = made;
  return made;
end $$;
comment on function tandem.edit_rate_set_v1 is 'Make a ready rate set that differs from another in some prefixes; returns its id.';
revoke execute on function tandem.edit_rate_set_v1 from public;
grant execute on function tandem.edit_rate_set_v1 to tandem_tool, tandem_tenant;
