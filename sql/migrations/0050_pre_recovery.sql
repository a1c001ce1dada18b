-- A rebuild that nobody has to ask for, step by step for whoever looks on; and what shows a Postgres in the past.
set local role tandem_owner;

create table tandem.recovery_step (
  id    bigint generated always as identity primary key,
  epoch bigint not null,
  step  text not null,
  said  text not null,
  at    timestamptz not null default clock_timestamp()
);
comment on table tandem.recovery_step is
  'What each rebuild of the money in Redis did, in order: `tandem recover` shows it. A rebuild that died goes on as the next epoch.';
comment on column tandem.recovery_step.id is 'Order.';
comment on column tandem.recovery_step.epoch is 'The epoch that was being built; of a Postgres in the past, that of Redis.';
comment on column tandem.recovery_step.step is
  'begun, read, fast, slow, called, waiting, charged, told, sorted, counted, differs, gone, armed; and past, replayed, equal, accepted where an operator had to decide.';
comment on column tandem.recovery_step.said is 'What was done or found, for people.';
comment on column tandem.recovery_step.at is 'When.';

create trigger keep_steps before update or delete or truncate on tandem.recovery_step
  for each statement execute function tandem.keep_ledger();

-- One row, locked last in a transaction that posts: Redis is told its number after the commit, so a Postgres that knows
-- a lower one than Redis was restored to the past.
create table tandem.posting (
  is_one boolean primary key default true constraint there_is_one check (is_one),
  number bigint not null default 0 constraint postings_count_up check (number >= 0)
);
comment on table tandem.posting is 'How many times settlement has posted: lower than what Redis was told = this Postgres was restored to the past.';
comment on column tandem.posting.is_one is 'There is one row.';
comment on column tandem.posting.number is 'Counted in the transaction that posts.';
insert into tandem.posting default values;

grant select on tandem.recovery_step, tandem.posting to tandem_sync, tandem_settle, tandem_tool;
grant insert on tandem.recovery_step to tandem_settle;
grant update on tandem.posting to tandem_settle;

comment on table tandem.recovery is
  'What each rebuild that restored Redis from Postgres found lost, written before Redis is opened; of one that died then, a later epoch is armed.';
comment on column tandem.recovery.report is 'As `tandem recover --json` shows it.';
comment on column tandem.fund_loss.amount_micros is
  'What the events charged: Redis keeps it charged, no entry says so. 0: of a rebuild that restored Redis, which charges nothing for what is lost.';
comment on column tandem.fund_loss.fund_n is 'The dropped event''s number; null: of events whose numbers nobody knows.';
