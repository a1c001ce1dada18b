-- What a recovery gave up: event numbers of a fund that Redis had given and Postgres never got.
set local role tandem_owner;

create table tandem.fund_loss (
  account_id bigint not null,
  currency   text not null,
  epoch      bigint not null,
  events     bigint not null constraint some_events_are_lost check (events > 0),
  created_at timestamptz not null default now(),
  primary key (account_id, currency, epoch)
);
comment on table tandem.fund_loss is 'Events that were lost with Redis and given up when an operator had it opened again.';
comment on column tandem.fund_loss.account_id is 'Whose fund.';
comment on column tandem.fund_loss.currency is 'The fund''s currency.';
comment on column tandem.fund_loss.epoch is 'The epoch that the recovery opened.';
comment on column tandem.fund_loss.events is 'How many of the fund''s event numbers have no entry and never will: what they charged is in no sum.';
comment on column tandem.fund_loss.created_at is 'When they were given up.';

create trigger keep_losses before update or delete or truncate on tandem.fund_loss
  for each statement execute function tandem.keep_ledger();
grant select on tandem.fund_loss to tandem_sync, tandem_settle, tandem_tool;
grant insert on tandem.fund_loss to tandem_settle;
