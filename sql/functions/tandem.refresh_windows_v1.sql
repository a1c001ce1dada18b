-- Does what the clock asks for: nothing in the sync views changes by itself.
--   Funds with a spend cap whose known days end within 2 days get the next ones.
--   Carriers whose day or month is over may get calls again.
--   Prices and exchange rates that were over a day ago leave their records, once a day.
-- Returns how many funds and carriers changed; triggers tell the outbox. Locks these rows until commit.
-- Called by `tandem sync` at its start and every minute.
set local role tandem_owner;

create or replace function tandem.refresh_windows_v1() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  funds    integer;
  carriers integer;
begin
  update tandem.fund_calendar c set first_day = due.today
    from (
      select f.account_id, f.currency, here.today
        from tandem.fund f
        join tandem.account a on a.id = f.account_id
        join tandem.fund_calendar k on k.account_id = f.account_id and k.currency = f.currency
        cross join lateral (select (now() at time zone a.timezone)::date as today) as here
       where (f.day_max_micros > 0 or f.month_max_micros > 0) and k.first_day + 8 <= here.today + 2
       order by f.account_id, f.currency
         for update of k
    ) as due
   where c.account_id = due.account_id and c.currency = due.currency;
  get diagnostics funds = row_count;
  carriers := tandem.refresh_carriers(array(
    select g.id from tandem.peering_group g where num_nonnulls(g.owed_max_micros, g.day_max_micros, g.month_max_micros) > 0));
  update tandem.horizon h set at = now() - interval '1 day' where h.at < now() - interval '2 days';
  return funds + carriers;
end $$;
comment on function tandem.refresh_windows_v1 is 'Move the windows of funds, carriers and prices on to the present.';
revoke execute on function tandem.refresh_windows_v1 from public;
grant execute on function tandem.refresh_windows_v1 to tandem_sync;
