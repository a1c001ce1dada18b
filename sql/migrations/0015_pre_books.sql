-- The ledger in several currencies and with carriers' accounts, its sums kept in O(1), and its proofs once per statement:
-- a call leaves ten entries, and thousands of calls are posted each second.
set local role tandem_owner;
lock table tandem.ledger_entry in access exclusive mode;  -- nobody posts between the sums below and the triggers that keep them

alter table tandem.ledger_entry
  drop constraint book_is_known,
  add constraint book_is_known check (book in ('fund', 'income', 'cost', 'cash', 'fx_bought', 'fx_sold', 'carrier')),
  add column group_id bigint,
  add column reverses uuid,
  add constraint what_is_owed_names_its_carrier check (book <> 'carrier' or group_id is not null);
comment on column tandem.ledger_entry.book is
  'fund: what it has with its parent; income: what those below paid it; cost: what carriers charge it; carrier: what it owes '
  'them (plus) or has paid in advance; cash: money in and out, outside of calls; fx_bought, fx_sold: both sides of an exchange.';
comment on column tandem.ledger_entry.group_id is 'Which carrier, of what calls cost there and of payments to it; it may be deleted since.';
comment on column tandem.ledger_entry.reverses is 'The transaction that this one takes back; null = it takes back none.';

-- What the foreign keys said, once per statement instead of twice per row.
alter table tandem.ledger_entry
  drop constraint ledger_entry_account_id_fkey,
  drop constraint ledger_entry_currency_fkey;

create function tandem.check_entries() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  stray record;
begin
  -- As a foreign key does it: none of these accounts is deleted before we commit.
  perform from tandem.account a where a.id in (select n.account_id from new_rows n) order by a.id for key share;
  select n.account_id, n.currency into stray from (select distinct account_id, currency from new_rows) as n
   where not exists (select from tandem.account a where a.id = n.account_id)
      or not exists (select from tandem.currency c where c.code = n.currency) limit 1;
  if found and exists (select from tandem.account a where a.id = stray.account_id) then
    raise foreign_key_violation using message = format('there is no currency %L', stray.currency);
  elsif found then
    raise foreign_key_violation using message = format('account %s does not exist', stray.account_id);
  end if;
  select n.account_id, n.currency into stray from (select distinct account_id, currency from new_rows where book = 'fund') as n
   where not exists (select from tandem.fund f where f.account_id = n.account_id and f.currency = n.currency) limit 1;
  if found then
    raise foreign_key_violation using message = format('account %s has no fund in %s', stray.account_id, stray.currency);
  end if;
  return null;
end $$;
comment on function tandem.check_entries is 'Trigger: accounts, currencies and funds of new entries exist.';
create trigger check_entries after insert on tandem.ledger_entry
  referencing new table as new_rows for each statement execute function tandem.check_entries();

create function tandem.keep_currency() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and new.code = old.code then
    return null;
  elsif exists (select from tandem.ledger_entry e where e.currency = old.code) then
    raise foreign_key_violation using message = format('currency %L is in the ledger and stays', old.code);
  end if;
  return null;
end $$;
comment on function tandem.keep_currency is 'Trigger: a currency of the ledger is neither deleted nor renamed.';
create trigger keep_currency after update or delete on tandem.currency for each row execute function tandem.keep_currency();

-- Every transaction sums to zero. A statement whose entries do so in each of its transactions, as the posting of whole
-- calls does, changes no sum: nothing is left to prove. Only what a statement leaves over is looked at again at commit.
-- Were a transaction not zero then, one of the statements that added to it was not either, and is noted here.
create table tandem.ledger_unbalanced (
  id     bigint generated always as identity primary key,
  txn_id uuid not null
);
comment on table tandem.ledger_unbalanced is 'Transactions to which a statement of this database transaction added no zero sum; empty after every commit.';
comment on column tandem.ledger_unbalanced.id is 'Key.';
comment on column tandem.ledger_unbalanced.txn_id is 'Which transaction is summed up at commit.';

drop trigger check_transaction on tandem.ledger_entry;
create or replace function tandem.check_transaction() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  off record;
begin
  select e.currency, sum(e.amount_micros) as micros into off from tandem.ledger_entry e
   where e.txn_id = new.txn_id group by e.currency having sum(e.amount_micros) <> 0 limit 1;
  if found then
    raise check_violation using message =
      format('ledger transaction %s does not sum to zero: %s micros %s are left over', new.txn_id, off.micros, off.currency);
  end if;
  delete from tandem.ledger_unbalanced u where u.id = new.id;
  return null;
end $$;
comment on function tandem.check_transaction is 'Trigger at commit: a transaction that was noted sums to zero per currency.';
create constraint trigger check_transaction after insert on tandem.ledger_unbalanced
  deferrable initially deferred for each row execute function tandem.check_transaction();

create function tandem.note_unbalanced() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into tandem.ledger_unbalanced(txn_id)
  select distinct n.txn_id
    from (select txn_id from new_rows group by txn_id, currency having sum(amount_micros) <> 0) as n;
  return null;
end $$;
comment on function tandem.note_unbalanced is 'Trigger: notes the transactions to which a statement did not add zero in each currency.';
create trigger note_unbalanced after insert on tandem.ledger_entry
  referencing new table as new_rows for each statement execute function tandem.note_unbalanced();

-- Sums of what calls charged, beside fund_credit.
create table tandem.fund_charge (
  account_id     bigint not null,
  currency       text not null,
  charged_micros bigint not null default 0,
  n              bigint not null default 0,
  events         bigint not null default 0,
  primary key (account_id, currency),
  foreign key (account_id, currency) references tandem.fund on delete cascade
);
comment on table tandem.fund_charge is 'Sum of each fund''s entries of origin redis; written by a trigger on the ledger, by nobody else.';
comment on column tandem.fund_charge.account_id is 'Whose fund.';
comment on column tandem.fund_charge.currency is 'The fund''s currency.';
comment on column tandem.fund_charge.charged_micros is 'What calls have charged; not bounded by 2^50: what has been talked is posted.';
comment on column tandem.fund_charge.n is 'Highest event number.';
comment on column tandem.fund_charge.events is 'How many events; fewer than n: some are missing.';
insert into tandem.fund_charge(account_id, currency, charged_micros, n, events)
select f.account_id, f.currency, coalesce(-sum(e.amount_micros), 0), coalesce(max(e.fund_n), 0), count(e.id)
  from tandem.fund f
  left join tandem.ledger_entry e on e.account_id = f.account_id and e.currency = f.currency and e.book = 'fund' and e.origin = 'redis'
 group by f.account_id, f.currency;

create function tandem.make_fund_charge() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into tandem.fund_charge(account_id, currency) values (new.account_id, new.currency);
  return null;
end $$;
comment on function tandem.make_fund_charge is 'Trigger: every fund begins with a sum of zero.';
create trigger make_fund_charge after insert on tandem.fund for each row execute function tandem.make_fund_charge();

drop trigger keep_fund_credit on tandem.ledger_entry;
drop function tandem.keep_fund_credit();
create function tandem.keep_fund_sums() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- Locks in one order for everybody: charges by fund, then credits by fund; or two writers of two funds lock each other out.
  perform from tandem.fund_charge c
    where (c.account_id, c.currency) in (select n.account_id, n.currency from new_rows n where n.book = 'fund' and n.origin = 'redis')
    order by c.account_id, c.currency for update;
  update tandem.fund_charge c
     set charged_micros = c.charged_micros + added.micros, n = greatest(c.n, added.n), events = c.events + added.entries
    from (select n.account_id, n.currency, -sum(n.amount_micros)::bigint as micros, max(n.fund_n) as n, count(*) as entries
            from new_rows n where n.book = 'fund' and n.origin = 'redis' group by n.account_id, n.currency) as added
   where c.account_id = added.account_id and c.currency = added.currency;
  if exists (select from new_rows n where n.book = 'fund' and n.origin = 'pg') then  -- each change of credit wakes the sync
    perform from tandem.fund_credit c
      where (c.account_id, c.currency) in (select n.account_id, n.currency from new_rows n where n.book = 'fund' and n.origin = 'pg')
      order by c.account_id, c.currency for update;
    update tandem.fund_credit c
       set cred_micros = c.cred_micros + added.micros, cver = c.cver + added.entries
      from (select n.account_id, n.currency, sum(n.amount_micros)::bigint as micros, count(*) as entries
              from new_rows n where n.book = 'fund' and n.origin = 'pg' group by n.account_id, n.currency) as added
     where c.account_id = added.account_id and c.currency = added.currency;
  end if;
  return null;
end $$;
comment on function tandem.keep_fund_sums is
  'Trigger: adds entries of origin redis to what their fund was charged, those of origin pg to its credit, and counts both up.';
create trigger keep_fund_sums after insert on tandem.ledger_entry
  referencing new table as new_rows for each statement execute function tandem.keep_fund_sums();
create trigger guard_fund_charge before insert or update or delete or truncate on tandem.fund_charge
  for each statement execute function tandem.guard_fund_credit();

-- What we owe carriers.
create table tandem.carrier_owed (
  group_id     bigint not null,
  currency     text not null,
  owed_micros  bigint not null,
  day_id       integer not null,
  day_micros   bigint not null,
  month_id     integer not null,
  month_micros bigint not null,
  primary key (group_id, currency)
);
comment on table tandem.carrier_owed is
  'Sum of each carrier''s entries of book carrier; written by a trigger on the ledger, by nobody else. Stays when the carrier is deleted.';
comment on column tandem.carrier_owed.group_id is 'The carrier.';
comment on column tandem.carrier_owed.currency is 'Currency of its deck at the time of the calls.';
comment on column tandem.carrier_owed.owed_micros is 'Plus: we owe it; minus: paid in advance.';
comment on column tandem.carrier_owed.day_id is 'Day of the owner''s time zone on which a call was posted last, e.g. 20261122.';
comment on column tandem.carrier_owed.day_micros is 'What calls cost that were posted on that day.';
comment on column tandem.carrier_owed.month_id is 'The same for a month, e.g. 202611.';
comment on column tandem.carrier_owed.month_micros is 'What calls cost that were posted in that month.';

create table tandem.carrier_state (
  group_id bigint primary key references tandem.peering_group on delete cascade,
  spent    text not null default '' constraint spent_is_known check (spent in ('', 'balance', 'day', 'month'))
);
comment on table tandem.carrier_state is 'Which of its caps a carrier has reached, as far as calls are posted. Written by tandem.refresh_carriers.';
comment on column tandem.carrier_state.group_id is 'The carrier.';
comment on column tandem.carrier_state.spent is 'balance, day, month; empty: it may get calls.';
insert into tandem.carrier_state(group_id) select id from tandem.peering_group;

create function tandem.refresh_carriers(ids bigint[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  changed integer;
begin
  update tandem.carrier_state s set spent = now_is.spent
    from (
      select g.id,
             case when coalesce(o.owed_micros, 0) >= g.owed_max_micros then 'balance'
                  when o.day_id = to_char(here.at, 'YYYYMMDD')::integer and o.day_micros >= g.day_max_micros then 'day'
                  when o.month_id = to_char(here.at, 'YYYYMM')::integer and o.month_micros >= g.month_max_micros then 'month'
                  else '' end as spent
        from tandem.peering_group g
        join tandem.account a on a.id = g.account_id
        join tandem.tariff t on t.id = g.tariff_id
        cross join lateral (select now() at time zone a.timezone as at) as here
        left join tandem.carrier_owed o on o.group_id = g.id and o.currency = t.currency
       where g.id = any (ids)
       order by g.id
    ) as now_is
   where s.group_id = now_is.id and s.spent <> now_is.spent;
  get diagnostics changed = row_count;
  return changed;
end $$;
comment on function tandem.refresh_carriers is 'Say anew which caps these carriers have reached; returns for how many that changed.';
revoke execute on function tandem.refresh_carriers from public;

create function tandem.make_carrier_state() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    insert into tandem.carrier_state(group_id) select n.id from new_rows n;
  end if;
  perform tandem.refresh_carriers(array(select n.id from new_rows n));
  return null;
end $$;
comment on function tandem.make_carrier_state is 'Trigger: a new cap counts at once.';
create trigger make_carrier_state after insert on tandem.peering_group
  referencing new table as new_rows for each statement execute function tandem.make_carrier_state();
create trigger change_carrier_state after update on tandem.peering_group
  referencing new table as new_rows for each statement execute function tandem.make_carrier_state();

create function tandem.keep_owed_sums() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from new_rows n where n.book = 'carrier') then
    return null;
  end if;
  insert into tandem.carrier_owed as o (group_id, currency, owed_micros, day_id, day_micros, month_id, month_micros)
  select added.group_id, added.currency, added.micros,
         to_char(here.at, 'YYYYMMDD')::integer, added.calls, to_char(here.at, 'YYYYMM')::integer, added.calls
    from (select n.group_id, n.currency, n.account_id, sum(n.amount_micros)::bigint as micros,
                 coalesce(sum(n.amount_micros) filter (where n.rid is not null), 0)::bigint as calls
            from new_rows n where n.book = 'carrier' group by n.group_id, n.currency, n.account_id) as added
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
            where g.id in (select n.group_id from new_rows n where n.book = 'carrier')
              and num_nonnulls(g.owed_max_micros, g.day_max_micros, g.month_max_micros) > 0) as capped
    where capped.ids is not null;
  return null;
end $$;
comment on function tandem.keep_owed_sums is 'Trigger: adds entries of book carrier to what their carrier is owed, and sees whether that reaches a cap.';
create trigger keep_owed_sums after insert on tandem.ledger_entry
  referencing new table as new_rows for each statement execute function tandem.keep_owed_sums();
create trigger guard_carrier_owed before insert or update or delete or truncate on tandem.carrier_owed
  for each statement execute function tandem.guard_fund_credit();

-- Amounts and guards of the functions that move money.
create function tandem.whole_micros(micros numeric) returns bigint
language plpgsql immutable
as $$
begin
  if coalesce(micros, 0) = 0 then
    raise check_violation using message = 'an amount of zero moves nothing';
  elsif micros = 'NaN' or abs(micros) > 1125899906842624 then
    raise check_violation using message = format('%s micros are out of reason: money_is_within_2_to_the_50', micros);
  elsif micros <> trunc(micros) then
    raise check_violation using message = format('%s micros are no whole number: a millionth of the currency''s unit is the least amount', micros);
  end if;
  return micros;
end $$;
comment on function tandem.whole_micros is 'The amount, if it can stand in the ledger; otherwise an error that says why not.';

create function tandem.check_overcommit(of_account tandem.account, in_currency text, micros bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  parent  tandem.account;
  balance numeric;
  own     numeric;
  rate    numeric;
begin
  select * into parent from tandem.account a where a.id = of_account.parent_id;
  if parent.kind = 'root' or parent.overcommit_pct is null or micros <= 0 then
    return;
  end if;
  rate := tandem.exchange_rate_at(in_currency, parent.currency, now());
  if rate is null then
    raise check_violation using message = format('account %s %L guards top-ups in %s, and there is no exchange rate of %s in %s',
      parent.id, parent.name, parent.currency, in_currency, parent.currency);
  end if;
  select c.cred_micros - g.charged_micros into balance
    from tandem.fund_credit c join tandem.fund_charge g using (account_id, currency)
   where c.account_id = parent.id and c.currency = parent.currency;
  select c.cred_micros - g.charged_micros + micros into own
    from tandem.fund_credit c join tandem.fund_charge g using (account_id, currency)
   where c.account_id = of_account.id and c.currency = in_currency;
  if balance <= 0 then
    raise check_violation using message = format(
      'account %s %L gets nothing: the posted balance of its parent %s %L, which guards top-ups, is %s %s',
      of_account.id, of_account.name, parent.id, parent.name, (balance / 1000000)::numeric(20, 6), parent.currency);
  elsif own * rate > balance * (100 + parent.overcommit_pct) / 100 then
    raise check_violation using message = format(
      'account %s %L would have %s %s, and may have at most %s %% of the posted balance of its parent %s %L, which is %s %s; '
      'what calls in progress hold is not seen',
      of_account.id, of_account.name, (own / 1000000)::numeric(20, 6), in_currency,
      100 + parent.overcommit_pct, parent.id, parent.name, (balance / 1000000)::numeric(20, 6), parent.currency);
  end if;
end $$;
comment on function tandem.check_overcommit is
  'Error when a credit lifts an account above what its parent allows; sees posted money only. The caller has locked the fund''s sum.';
revoke execute on function tandem.check_overcommit from public;

-- A call that goes on may have a record, a refused one names the level, and a leg has two currencies where it is exchanged.
alter table tandem.cdr
  drop constraint outcome_is_known,
  add constraint outcome_is_known
    check (outcome in ('answered', 'cancelled', 'failed', 'refused', 'estimated', 'unknown_end', 'talking')),
  add column refused_by bigint not null default 0;
comment on column tandem.cdr.refused_by is 'The account whose limit refused it; 0 = none did.';
alter table tandem.cdr_leg
  add column fund_currency text,
  add column charged_micros tandem.micros,
  add constraint a_charge_has_a_currency check ((fund_currency is null) = (charged_micros is null));
comment on column tandem.cdr_leg.currency is 'Currency of the price: the tariff''s, in which the payee earns.';
comment on column tandem.cdr_leg.fund_currency is 'Currency that the payer pays in; null = no fund pays, or a release before this column wrote it.';
comment on column tandem.cdr_leg.charged_micros is 'The price in that currency.';
comment on column tandem.cdr.outcome is
  'answered, cancelled, failed, refused, estimated (a sweeper settled it), unknown_end; talking: it goes on, and has paid what it has talked.';

select tandem.feed_outbox('carrier_state',
  'peering_group', $q$ select 'pg:' || r.group_id $q$);

grant select on tandem.fund_charge, tandem.carrier_owed, tandem.carrier_state, tandem.ledger_unbalanced
  to tandem_sync, tandem_settle, tandem_tool;
