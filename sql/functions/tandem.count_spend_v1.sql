-- Counts what calls have cost their funds into the day and the month in which they ended.
-- entries: [{account_id, currency, amount_micros: spent, negative where a correction gives back, at_ms: Unix time of the end}, …].
-- Returns how many windows changed. Locks them, in the order of their keys, until commit.
-- Called by `tandem settle` in the transaction that posts the entries, never for an entry that was there already.
set local role tandem_owner;

create or replace function tandem.count_spend_v1(entries jsonb) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  changed integer;
begin
  insert into tandem.fund_window as w (account_id, currency, kind, window_id, spent_micros)
  select spent.account_id, spent.currency, wanted.kind, wanted.id, sum(spent.micros)::bigint
    from (
      select e.account_id, e.currency, (to_timestamp(e.at_ms / 1000.0) at time zone a.timezone)::date as day, sum(e.amount_micros) as micros
        from jsonb_to_recordset(entries) as e(account_id bigint, currency text, amount_micros bigint, at_ms bigint)
        join tandem.account a on a.id = e.account_id
       where e.amount_micros <> 0
       group by 1, 2, 3
    ) as spent
    cross join lateral (values
      ('day', to_char(spent.day, 'YYYYMMDD')::integer), ('month', to_char(spent.day, 'YYYYMM')::integer)) as wanted(kind, id)
   group by 1, 2, 3, 4
   order by 1, 2, 3, 4
  on conflict (account_id, currency, kind, window_id) do update set spent_micros = w.spent_micros + excluded.spent_micros;
  get diagnostics changed = row_count;
  return changed;
end $$;
comment on function tandem.count_spend_v1 is 'Add what calls cost to the days and months of their funds.';
revoke execute on function tandem.count_spend_v1 from public;
grant execute on function tandem.count_spend_v1 to tandem_settle;
