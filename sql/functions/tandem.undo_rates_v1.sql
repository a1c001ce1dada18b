-- Gives a tariff back the prices that it would have now, and later, without an import. What was talked meanwhile stays as priced.
-- of_import: one of rates, not undone, whoever imported it: who undoes it sees the account, and did so then, and has the right prices itself.
-- Error when the tariff's prices are no more those that the import left: what came after it has to be undone first, or stands on it for good.
set local role tandem_owner;

create or replace function tandem.undo_rates_v1(of_import bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  file   tandem.import_file;
  tariff tandem.tariff;
  later  bigint;
  found_ jsonb;
  back   jsonb;
  deck   record;
begin
  select * into file from tandem.import_file f where f.id = of_import and f.kind = 'rates'
     and tandem.acting_saw(f.account_id, f.created_at) for no key update;
  if not found then
    raise check_violation using message = format('import %s does not exist', of_import);
  end if;
  tariff := tandem.check_may_price(file.target_id);
  if tariff.account_id <> file.account_id then
    raise check_violation using message = format('import %s cannot be undone: tariff %s is another account''s now', of_import, tariff.id);
  end if;
  perform from tandem.tariff t where t.id = tariff.id for no key update;
  if file.undone_at is not null then
    raise check_violation using message = format('import %s was undone already', of_import);
  end if;
  select min(f.id) into later from tandem.import_file f
   where f.kind = 'rates' and f.target_id = tariff.id and f.id > of_import and f.undone_at is null;
  if later is not null then
    raise check_violation using message = format('import %s cannot be undone: import %s of the same tariff came after it; undo that first', of_import, later);
  end if;
  found_ := tandem.prices_ahead(tariff.id, now());
  back := tandem.prices_at(file.before, now());
  if found_ <> tandem.prices_at(file.after, now()) then
    raise check_violation using message =
      format('import %s cannot be undone: the prices of tariff %s %L were changed after it', of_import, tariff.id, tariff.name);
  end if;
  delete from tandem.tariff_deck d where d.tariff_id = tariff.id and d.valid_from > now();
  if found_ -> 'now' <> back -> 'now' then
    perform tandem.put_prices(tariff.id, now(), (back ->> 'now')::bigint);
  end if;
  for deck in
    select to_timestamp((k.value ->> 0)::float8) as valid_from, (k.value ->> 1)::bigint as rate_set_id
      from jsonb_array_elements(back -> 'ahead') as k order by 1
  loop
    insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (tariff.id, deck.valid_from, deck.rate_set_id);
  end loop;
  update tandem.import_file set undone_at = now() where id = of_import;
end $$;
comment on function tandem.undo_rates_v1 is 'Give a tariff back the prices that it had before an import.';
revoke execute on function tandem.undo_rates_v1 from public;
grant execute on function tandem.undo_rates_v1 to tandem_tool, tandem_tenant;
