-- Changes single prices of a tariff, from the next call on. of_tariff: which one; it has prices now.
-- edits: as for tandem.edit_rate_set_v1. Returns the rate set that is in force then; its predecessor stays as it is.
-- A tenant has the right prices, and sees the owner. Decks that begin later keep their own prices. Locks the tariff's row
-- until commit.
set local role tandem_owner;

create or replace function tandem.set_rates_v1(of_tariff bigint, edits jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  tariff tandem.tariff;
  deck   tandem.tariff_deck;
  now_in bigint;
  made   bigint;
begin
  select * into tariff from tandem.tariff t where t.id = of_tariff for no key update;
  if not found or not tandem.acting_sees(tariff.account_id) then
    raise foreign_key_violation using message = format('tariff %s does not exist', of_tariff);
  end if;
  perform tandem.demand('prices');
  select * into deck from tandem.tariff_deck d where d.tariff_id = of_tariff and d.valid_from <= now() order by d.valid_from desc limit 1;
  now_in := case when found then deck.rate_set_id else tariff.rate_set_id end;
  if now_in is null then
    raise check_violation using message = format('tariff %s %L has no prices now that could be edited', tariff.id, tariff.name);
  end if;
  made := tandem.edit_rate_set_v1(now_in, edits);
  if deck.tariff_id is null then
    update tandem.tariff set rate_set_id = made where id = of_tariff;
  else
    update tandem.tariff_deck set rate_set_id = made where tariff_id = of_tariff and valid_from = deck.valid_from;
  end if;
  return made;
end $$;
comment on function tandem.set_rates_v1 is 'Change single prices of a tariff; returns the rate set in force then.';
revoke execute on function tandem.set_rates_v1 from public;
grant execute on function tandem.set_rates_v1 to tandem_tool, tandem_tenant;
