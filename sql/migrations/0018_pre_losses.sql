-- What is given up: events that Redis charged and Postgres will never have, and what each recovery lost.
set local role tandem_owner;

create table tandem.fund_loss (
  id            bigint generated always as identity primary key,
  account_id    bigint not null,
  currency      text not null,
  epoch         bigint not null,
  fund_n        bigint,
  events        bigint not null constraint some_events_are_lost check (events > 0),
  amount_micros bigint not null default 0,
  created_at    timestamptz not null default now(),
  constraint an_event_with_a_number_is_one check (fund_n is null or events = 1)
);
create unique index an_event_is_given_up_once on tandem.fund_loss(account_id, currency, fund_n) where fund_n is not null;
create index fund_losses on tandem.fund_loss(account_id, currency);
comment on table tandem.fund_loss is
  'Events that will never be posted: lost with Redis and given up at a recovery, or set aside and dropped by a person.';
comment on column tandem.fund_loss.id is 'Key.';
comment on column tandem.fund_loss.account_id is 'Whose fund.';
comment on column tandem.fund_loss.currency is 'The fund''s currency.';
comment on column tandem.fund_loss.epoch is 'The epoch that the recovery opened, or in which the event was dropped.';
comment on column tandem.fund_loss.fund_n is 'The dropped event''s number; null: of a recovery, whose numbers nobody knows.';
comment on column tandem.fund_loss.events is 'How many of the fund''s event numbers have no entry and never will.';
comment on column tandem.fund_loss.amount_micros is
  'What the dropped event charged: Redis keeps it charged, no entry says so. 0: of a recovery, which charges nothing for what is lost.';
comment on column tandem.fund_loss.created_at is 'When they were given up.';

create table tandem.event_dropped (
  digest     bytea primary key constraint digest_is_sha256 check (length(digest) = 32),
  rid        text not null default '',
  note       text not null,
  created_at timestamptz not null default now()
);
comment on table tandem.event_dropped is
  'Events that a person gave up; one that still stands in the stream does not come back when the stream is read again.';
comment on column tandem.event_dropped.digest is 'SHA-256 of the event''s bytes, which the audit keeps.';
comment on column tandem.event_dropped.rid is 'The call''s reservation; empty where the bytes were none.';
comment on column tandem.event_dropped.note is 'Why.';
comment on column tandem.event_dropped.created_at is 'When.';

create table tandem.recovery (
  epoch      bigint primary key,
  report     jsonb not null,
  created_at timestamptz not null default now()
);
comment on table tandem.recovery is
  'What each `tandem recover` found lost, written before Redis is opened; of one that died then, a later epoch is armed.';
comment on column tandem.recovery.epoch is 'The epoch that it was about to open.';
comment on column tandem.recovery.report is 'As `tandem recover --json` prints it.';
comment on column tandem.recovery.created_at is 'When.';

create trigger keep_losses before update or delete or truncate on tandem.fund_loss
  for each statement execute function tandem.keep_ledger();
create trigger keep_dropped before update or delete or truncate on tandem.event_dropped
  for each statement execute function tandem.keep_ledger();
create trigger keep_recoveries before update or delete or truncate on tandem.recovery
  for each statement execute function tandem.keep_ledger();
grant select on tandem.fund_loss, tandem.event_dropped, tandem.recovery to tandem_sync, tandem_settle, tandem_tool;
grant insert on tandem.fund_loss, tandem.event_dropped, tandem.recovery to tandem_settle;

comment on column tandem.cdr.ended_by is
  'caller, callee, maximum, noc, sweeper, money (more talk was refused), store_down (Redis could not be asked for more), node_lost (nobody asked in time), lost_hold (Redis did not know its hold any more); empty = none of them.';
