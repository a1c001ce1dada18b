-- Has a tariff cost what new rate sets say, at once, and notes the import.
-- decks: [{"from": time or null, "set": id}, …] from tandem.build_rates_v1; null: from this moment on. One that waits for the
-- same time is replaced. drop_from: decks that wait for this time or a later one are taken away first; null: none.
-- file: {"file_name", "sha256", "lines", "summary"}. Returns the id of the import, for tandem.undo_rates_v1.
set local role tandem_owner;

create or replace function tandem.switch_rates_v1(of_tariff bigint, decks jsonb, drop_from timestamptz, file jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  tariff tandem.tariff := tandem.check_may_price(of_tariff);
  here   timestamptz := clock_timestamp();
  before jsonb;
  deck   record;
  made   bigint;
begin
  perform from tandem.tariff t where t.id = of_tariff for no key update;
  before := tandem.prices_ahead(of_tariff, here);
  delete from tandem.tariff_deck d where d.tariff_id = of_tariff and d.valid_from > here and d.valid_from >= drop_from;
  for deck in
    select (k.value ->> 'from')::timestamptz as valid_from, (k.value ->> 'set')::bigint as rate_set_id
      from jsonb_array_elements(decks) as k order by 1 nulls first
  loop
    if deck.valid_from is null then
      perform tandem.put_prices(of_tariff, here, deck.rate_set_id);
    else
      insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (of_tariff, deck.valid_from, deck.rate_set_id)
      on conflict (tariff_id, valid_from) do update set rate_set_id = excluded.rate_set_id;
    end if;
  end loop;
  perform tandem.check_summary('rates', file -> 'summary');
  insert into tandem.import_file(account_id, kind, target_id, target, file_name, sha256, lines, summary, before, after)
  values (tariff.account_id, 'rates', of_tariff, tariff.name, file ->> 'file_name', file ->> 'sha256', (file ->> 'lines')::integer,
          file -> 'summary', before, tandem.prices_ahead(of_tariff, here))
  returning id into made;
  return made;
end $$;
comment on function tandem.switch_rates_v1 is 'Have a tariff cost what new rate sets say; returns the id of the import.';
revoke execute on function tandem.switch_rates_v1 from public;
grant execute on function tandem.switch_rates_v1 to tandem_tool, tandem_tenant;
