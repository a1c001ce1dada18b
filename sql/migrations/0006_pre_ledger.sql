-- Money. Balances are sums of ledger entries and nothing else; signs: a plus is a credit of the account, a minus a debit.
set local role tandem_owner;

create table tandem.fund (
  account_id          bigint not null references tandem.account on delete cascade,
  currency            text not null references tandem.currency,
  credit_limit_micros tandem.micros not null default 0
                      constraint credit_limit_is_unlimited_or_not_negative check (credit_limit_micros >= -1),
  channels_max        integer not null default 0 constraint channels_max_is_not_negative check (channels_max >= 0),
  cps_max             integer not null default 0 constraint cps_max_is_not_negative check (cps_max >= 0),
  created_at          timestamptz not null default now(),
  primary key (account_id, currency)
);
comment on table tandem.fund is 'What an account has with its parent, in one currency; made with the account. The root has none.';
comment on column tandem.fund.account_id is 'Whose fund; "<account_id>:<currency>" is its name in Redis.';
comment on column tandem.fund.currency is 'The currency of all its amounts.';
comment on column tandem.fund.credit_limit_micros is 'How far below zero it may go; 0 = prepaid, -1 = unlimited.';
comment on column tandem.fund.channels_max is 'Simultaneous calls of the account and all below it; 0 = unlimited.';
comment on column tandem.fund.cps_max is 'New calls per second of the account and all below it; 0 = unlimited.';
comment on column tandem.fund.created_at is 'When the row was made.';

create table tandem.fund_credit (
  account_id  bigint not null,
  currency    text not null,
  cred_micros tandem.micros not null default 0,
  cver        bigint not null default 0,
  primary key (account_id, currency),
  foreign key (account_id, currency) references tandem.fund on delete cascade
);
comment on table tandem.fund_credit is 'Sum of each fund''s entries of origin pg; written by a trigger on the ledger, by nobody else.';
comment on column tandem.fund_credit.account_id is 'Whose fund.';
comment on column tandem.fund_credit.currency is 'The fund''s currency.';
comment on column tandem.fund_credit.cred_micros is 'Sum of the entries of book fund and origin pg.';
comment on column tandem.fund_credit.cver is 'How many such entries: the version of cred_micros.';

create function tandem.make_fund() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if new.kind <> 'root' then
    insert into tandem.fund(account_id, currency) values (new.id, new.currency) on conflict do nothing;
  end if;
  return null;
end $$;
comment on function tandem.make_fund is 'Trigger: every account has a fund in its currency; one in a former currency stays.';
create trigger make_fund after insert or update of currency on tandem.account
  for each row execute function tandem.make_fund();

create function tandem.check_fund() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and (new.account_id, new.currency) is distinct from (old.account_id, old.currency) then
    raise check_violation using message = format('fund %s:%s keeps its account and currency', old.account_id, old.currency);
  elsif tg_op = 'INSERT' and exists (select from tandem.account a where a.id = new.account_id and a.kind = 'root') then
    raise check_violation using message = 'the root is billed by nobody and has no fund';
  end if;
  return new;
end $$;
comment on function tandem.check_fund is 'Trigger: the root has no fund, and a fund keeps its name.';
create trigger check_fund before insert or update on tandem.fund for each row execute function tandem.check_fund();

create function tandem.make_fund_credit() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into tandem.fund_credit(account_id, currency) values (new.account_id, new.currency);
  return null;
end $$;
comment on function tandem.make_fund_credit is 'Trigger: every fund begins with a sum of zero.';
create trigger make_fund_credit after insert on tandem.fund for each row execute function tandem.make_fund_credit();

create table tandem.ledger_entry (
  id            uuid primary key,
  txn_id        uuid not null,
  account_id    bigint not null references tandem.account,
  book          text not null constraint book_is_known check (book in ('fund', 'income', 'cost', 'cash')),
  currency      text not null references tandem.currency,
  amount_micros tandem.micros not null,
  origin        text not null constraint origin_is_known check (origin in ('pg', 'redis')),
  rid           text constraint rid_is_not_empty check (rid <> ''),
  level         integer,
  seq           integer,
  epoch         bigint,
  fund_n        bigint,
  note          text not null default '',
  actor         text not null default '',
  posted_at     timestamptz not null default now(),
  constraint an_entry_of_a_call_names_level_and_sequence check ((rid is null) = (level is null) and (rid is null) = (seq is null)),
  constraint what_redis_charged_is_of_a_call_and_an_epoch check (origin = 'pg' or (rid is not null and epoch is not null)),
  constraint what_redis_charged_to_a_fund_has_its_event_number
    check ((book = 'fund' and origin = 'redis') = (fund_n is not null)),
  constraint an_entry_of_a_call_is_posted_once unique (rid, level, seq, book)
);
create unique index a_fund_event_is_posted_once on tandem.ledger_entry(account_id, currency, epoch, fund_n)
  where book = 'fund' and origin = 'redis';
create index ledger_entry_by_txn on tandem.ledger_entry(txn_id);
create index ledger_entry_by_account on tandem.ledger_entry(account_id, posted_at);
comment on table tandem.ledger_entry is 'Double entry: the entries of a transaction sum to zero in each currency. Never changed, never deleted.';
comment on column tandem.ledger_entry.id is 'Deterministic for calls, so that posting again changes nothing.';
comment on column tandem.ledger_entry.txn_id is 'Which entries belong together.';
comment on column tandem.ledger_entry.account_id is 'Whose book.';
comment on column tandem.ledger_entry.book is
  'fund: what it has with its parent; income: what those below paid it; cost: what carriers charge it; '
  'cash: the other side outside of calls (money received, owed to a carrier).';
comment on column tandem.ledger_entry.currency is 'Currency of the amount.';
comment on column tandem.ledger_entry.amount_micros is 'Plus: credit of the account; minus: debit.';
comment on column tandem.ledger_entry.origin is 'Which sum of a fund the entry counts in: redis = charged by a call there, pg = everything else.';
comment on column tandem.ledger_entry.rid is 'The call''s reservation; null outside of calls.';
comment on column tandem.ledger_entry.level is 'Level of the payment in the call; 1 = nearest to the caller.';
comment on column tandem.ledger_entry.seq is 'Sequence of the event within the reservation.';
comment on column tandem.ledger_entry.epoch is 'Epoch of Redis that charged it.';
comment on column tandem.ledger_entry.fund_n is 'Number of the fund''s event in that epoch; a gap is a lost event.';
comment on column tandem.ledger_entry.note is 'Why, for people.';
comment on column tandem.ledger_entry.actor is 'Who posted it: a person or a tool.';
comment on column tandem.ledger_entry.posted_at is 'When it was posted.';

create function tandem.keep_ledger() returns trigger
language plpgsql
as $$
begin
  raise check_violation using message = 'the ledger is never changed; post a correcting transaction';
end $$;
comment on function tandem.keep_ledger is 'Trigger: no update, no delete, no truncate.';
create trigger keep_ledger before update or delete or truncate on tandem.ledger_entry
  for each statement execute function tandem.keep_ledger();

create function tandem.check_transaction() returns trigger
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
  return null;
end $$;
comment on function tandem.check_transaction is 'Trigger at commit: each transaction sums to zero per currency.';
create constraint trigger check_transaction after insert on tandem.ledger_entry
  deferrable initially deferred for each row execute function tandem.check_transaction();

create function tandem.keep_fund_credit() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  stray record;
begin
  select n.account_id, n.currency into stray from new_rows n
   where n.book = 'fund' and not exists (
     select from tandem.fund f where f.account_id = n.account_id and f.currency = n.currency) limit 1;
  if found then
    raise foreign_key_violation using message = format('account %s has no fund in %s', stray.account_id, stray.currency);
  end if;
  -- One order for everybody, or two top-ups of the same two funds lock each other out.
  perform from tandem.fund_credit c
    where (c.account_id, c.currency) in (select n.account_id, n.currency from new_rows n where n.book = 'fund' and n.origin = 'pg')
    order by c.account_id, c.currency for update;
  update tandem.fund_credit c
     set cred_micros = c.cred_micros + added.micros, cver = c.cver + added.entries
    from (select n.account_id, n.currency, sum(n.amount_micros)::bigint as micros, count(*) as entries
            from new_rows n where n.book = 'fund' and n.origin = 'pg' group by n.account_id, n.currency) as added
   where c.account_id = added.account_id and c.currency = added.currency;
  return null;
end $$;
comment on function tandem.keep_fund_credit is 'Trigger: adds entries of origin pg to their fund''s sum and counts its version up.';
create trigger keep_fund_credit after insert on tandem.ledger_entry
  referencing new table as new_rows for each statement execute function tandem.keep_fund_credit();

create function tandem.guard_fund_credit() returns trigger
language plpgsql
as $$
begin
  if pg_trigger_depth() < 2 then
    raise check_violation using message = 'a balance changes only by ledger entries';
  end if;
  return null;
end $$;
comment on function tandem.guard_fund_credit is 'Trigger: only other triggers write the sums.';
create trigger guard_fund_credit before insert or update or delete or truncate on tandem.fund_credit
  for each statement execute function tandem.guard_fund_credit();
