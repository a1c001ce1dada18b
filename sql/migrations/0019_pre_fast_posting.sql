-- Posting costs less: texts that are keys compare byte by byte, and what follows from new entries is worked out from their
-- sums, made once per statement, instead of from each of them again and again. What is checked and kept stays the same.
set local role tandem_owner;

-- Nobody sorts calls by language, and a comparison by the rules of one costs a copy and a call of the C library: a twelfth of
-- what posting costs. Tables stay as they are, their indexes are made anew.
alter table tandem.ledger_entry
  alter column rid type text collate "C",
  alter column book type text collate "C";
alter table tandem.cdr
  alter column rid type text collate "C",
  alter column call_id type text collate "C";
alter table tandem.cdr_leg
  alter column rid type text collate "C",
  alter column book type text collate "C";

create type tandem.entry_sum as (
  account_id   bigint,
  currency     text,
  book         text,
  origin       text,
  group_id     bigint,
  micros       numeric,
  calls_micros numeric,
  n            bigint,
  entries      bigint
);
comment on type tandem.entry_sum is 'Sum of what a statement adds to one place of the ledger; calls_micros: of these, by calls; n: highest event number.';

create function tandem.check_entries(sums tandem.entry_sum[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  stray record;
begin
  -- As a foreign key does it: none of these accounts is deleted before we commit.
  perform from tandem.account a where a.id in (select s.account_id from unnest(sums) as s) order by a.id for key share;
  select s.account_id, s.currency into stray from unnest(sums) as s
   where not exists (select from tandem.account a where a.id = s.account_id)
      or not exists (select from tandem.currency c where c.code = s.currency) limit 1;
  if found and exists (select from tandem.account a where a.id = stray.account_id) then
    raise foreign_key_violation using message = format('there is no currency %L', stray.currency);
  elsif found then
    raise foreign_key_violation using message = format('account %s does not exist', stray.account_id);
  end if;
  select s.account_id, s.currency into stray from unnest(sums) as s
   where s.book = 'fund' and not exists (
     select from tandem.fund f where f.account_id = s.account_id and f.currency = s.currency) limit 1;
  if found then
    raise foreign_key_violation using message = format('account %s has no fund in %s', stray.account_id, stray.currency);
  end if;
end $$;
comment on function tandem.check_entries(tandem.entry_sum[]) is 'Error unless accounts, currencies and funds of new entries exist.';
revoke execute on function tandem.check_entries(tandem.entry_sum[]) from public;

create function tandem.keep_fund_sums(sums tandem.entry_sum[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- Locks in one order for everybody: charges by fund, then credits by fund; or two writers of two funds lock each other out.
  perform from tandem.fund_charge c
    where (c.account_id, c.currency) in (
      select s.account_id, s.currency from unnest(sums) as s where s.book = 'fund' and s.origin = 'redis')
    order by c.account_id, c.currency for update;
  update tandem.fund_charge c
     set charged_micros = c.charged_micros + added.micros, n = greatest(c.n, added.n), events = c.events + added.entries
    from (select s.account_id, s.currency, -sum(s.micros)::bigint as micros, max(s.n) as n, sum(s.entries)::bigint as entries
            from unnest(sums) as s where s.book = 'fund' and s.origin = 'redis' group by s.account_id, s.currency) as added
   where c.account_id = added.account_id and c.currency = added.currency;
  if exists (select from unnest(sums) as s where s.book = 'fund' and s.origin = 'pg') then  -- each change of credit wakes the sync
    perform from tandem.fund_credit c
      where (c.account_id, c.currency) in (
        select s.account_id, s.currency from unnest(sums) as s where s.book = 'fund' and s.origin = 'pg')
      order by c.account_id, c.currency for update;
    update tandem.fund_credit c
       set cred_micros = c.cred_micros + added.micros, cver = c.cver + added.entries
      from (select s.account_id, s.currency, sum(s.micros)::bigint as micros, sum(s.entries)::bigint as entries
              from unnest(sums) as s where s.book = 'fund' and s.origin = 'pg' group by s.account_id, s.currency) as added
     where c.account_id = added.account_id and c.currency = added.currency;
  end if;
end $$;
comment on function tandem.keep_fund_sums(tandem.entry_sum[]) is
  'Adds entries of origin redis to what their fund was charged, those of origin pg to its credit, and counts both up.';
revoke execute on function tandem.keep_fund_sums(tandem.entry_sum[]) from public;

create function tandem.keep_owed_sums(sums tandem.entry_sum[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from unnest(sums) as s where s.book = 'carrier') then
    return;
  end if;
  insert into tandem.carrier_owed as o (group_id, currency, owed_micros, day_id, day_micros, month_id, month_micros)
  select added.group_id, added.currency, added.micros,
         to_char(here.at, 'YYYYMMDD')::integer, added.calls, to_char(here.at, 'YYYYMM')::integer, added.calls
    from (select s.group_id, s.currency, s.account_id, sum(s.micros)::bigint as micros, sum(s.calls_micros)::bigint as calls
            from unnest(sums) as s where s.book = 'carrier' group by s.group_id, s.currency, s.account_id) as added
    join tandem.account a on a.id = added.account_id
    cross join lateral (select now() at time zone a.timezone as at) as here
   order by added.group_id, added.currency
  on conflict (group_id, currency) do update set
    owed_micros = o.owed_micros + excluded.owed_micros,
    day_micros = case when o.day_id < excluded.day_id then 0 else o.day_micros end + excluded.day_micros,
    day_id = greatest(o.day_id, excluded.day_id),
    month_micros = case when o.month_id < excluded.month_id then 0 else o.month_micros end + excluded.month_micros,
    month_id = greatest(o.month_id, excluded.month_id);
  perform tandem.refresh_carriers(capped.ids)
     from (select array_agg(g.id) as ids from tandem.peering_group g
            where g.id in (select s.group_id from unnest(sums) as s where s.book = 'carrier')
              and num_nonnulls(g.owed_max_micros, g.day_max_micros, g.month_max_micros) > 0) as capped
    where capped.ids is not null;
end $$;
comment on function tandem.keep_owed_sums(tandem.entry_sum[]) is
  'Adds entries of book carrier to what their carrier is owed, and sees whether that reaches a cap.';
revoke execute on function tandem.keep_owed_sums(tandem.entry_sum[]) from public;

create function tandem.keep_sums() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  sums tandem.entry_sum[];
begin
  select array_agg(row(s.account_id, s.currency, s.book, s.origin, s.group_id, s.micros, s.calls, s.n, s.entries)::tandem.entry_sum)
    into sums
    from (select account_id, currency, book, origin, group_id, sum(amount_micros) as micros,
                 coalesce(sum(amount_micros) filter (where rid is not null), 0) as calls,
                 max(fund_n) as n, count(*) as entries
            from new_rows group by account_id, currency, book, origin, group_id) as s;
  perform tandem.check_entries(sums);
  perform tandem.keep_fund_sums(sums);
  perform tandem.keep_owed_sums(sums);
  insert into tandem.ledger_unbalanced(txn_id)
  select distinct n.txn_id
    from (select txn_id from new_rows group by txn_id, currency having sum(amount_micros) <> 0) as n;
  return null;
end $$;
comment on function tandem.keep_sums is
  'Trigger: new entries are of accounts, currencies and funds that exist, count in the sums of their funds and carriers, and what does not sum to zero is noted.';

drop trigger check_entries on tandem.ledger_entry;
drop trigger keep_fund_sums on tandem.ledger_entry;
drop trigger keep_owed_sums on tandem.ledger_entry;
drop trigger note_unbalanced on tandem.ledger_entry;
drop function tandem.check_entries();
drop function tandem.keep_fund_sums();
drop function tandem.keep_owed_sums();
drop function tandem.note_unbalanced();
create trigger keep_sums after insert on tandem.ledger_entry
  referencing new table as new_rows for each statement execute function tandem.keep_sums();
