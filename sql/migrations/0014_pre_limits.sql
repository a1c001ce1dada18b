-- Limits per fund and carrier, spend per day and month, thresholds that raise an alert once, and locks.
set local role tandem_owner;

alter table tandem.fund
  add column channels_in_max integer not null default 0 constraint channels_in_max_is_not_negative check (channels_in_max >= 0),
  add column channels_out_max integer not null default 0 constraint channels_out_max_is_not_negative check (channels_out_max >= 0),
  add column day_max_micros tandem.micros not null default 0 constraint day_max_is_not_negative check (day_max_micros >= 0),
  add column month_max_micros tandem.micros not null default 0 constraint month_max_is_not_negative check (month_max_micros >= 0);
comment on column tandem.fund.channels_max is 'Simultaneous calls of the account and all below it, in and out together; 0 = unlimited.';
comment on column tandem.fund.channels_in_max is 'Of these, calls to numbers of theirs; 0 = unlimited.';
comment on column tandem.fund.channels_out_max is 'Of these, calls that they make; 0 = unlimited.';
comment on column tandem.fund.day_max_micros is 'What calls may cost in a day of the account''s time zone; 0 = unlimited.';
comment on column tandem.fund.month_max_micros is 'What calls may cost in a month of the account''s time zone; 0 = unlimited.';

create function tandem.lock_rank(lock text) returns integer
language sql immutable strict
return array_position(array['none', 'foreign', 'outgoing', 'all', 'global'], lock) - 1;
comment on function tandem.lock_rank is 'How much a lock forbids, from 0; null for what is no lock.';

alter table tandem.account
  add column lock text not null default 'none' constraint lock_is_known check (tandem.lock_rank(lock) is not null),
  add column lock_note text not null default '',
  add column overcommit_pct integer
    constraint overcommit_is_0_to_1000_percent check (overcommit_pct between 0 and 1000);
comment on column tandem.account.lock is
  'What is forbidden to it and all below it, each adding to the one before: none, foreign (calls that leave to carriers), '
  'outgoing, all (calls to them too), global (registering too).';
comment on column tandem.account.lock_note is 'Why the lock is as it is, for people.';
comment on column tandem.account.overcommit_pct is
  'A credit may lift the balance of an account directly below it to at most this much above 100 % of its own posted balance, and to nothing '
  'where that is not above zero; null = unguarded. Money held by calls in progress is not seen; a reversal is not bounded.';

create function tandem.check_lock() returns trigger
language plpgsql
as $$
begin
  if tandem.lock_rank(new.lock) < tandem.lock_rank(old.lock) and current_user <> 'tandem_owner' then  -- not from inside lock_v1
    raise check_violation using message =
      format('account %s %L: a lock is lowered by a person, through tandem.lock_v1, which says who and why', old.id, old.name);
  end if;
  return new;
end $$;
comment on function tandem.check_lock is 'Trigger: anybody may lock, only tandem.lock_v1 unlocks.';
create trigger check_lock before update of lock on tandem.account for each row execute function tandem.check_lock();

-- Which windows of a fund Redis knows. Stored, not computed from the clock: what a view says may not change by itself.
create table tandem.fund_calendar (
  account_id bigint not null,
  currency   text not null,
  first_day  date not null,
  opening_version      bigint not null default 0,
  opening_day_id       integer not null default 0,
  opening_day_micros   bigint not null default 0,
  opening_month_id     integer not null default 0,
  opening_month_micros bigint not null default 0,
  primary key (account_id, currency),
  foreign key (account_id, currency) references tandem.fund on delete cascade
);
comment on table tandem.fund_calendar is 'From which day on Redis knows the days and months of a fund with spend caps.';
comment on column tandem.fund_calendar.account_id is 'Whose fund.';
comment on column tandem.fund_calendar.currency is 'The fund''s currency.';
comment on column tandem.fund_calendar.first_day is 'In the account''s time zone; moved on by tandem.refresh_windows_v1.';
comment on column tandem.fund_calendar.opening_version is
  'Rises when the fund gets a cap that it had not, and when the time zone changes: Redis then begins with the sums beside it; 0 = never.';
comment on column tandem.fund_calendar.opening_day_id is 'Day of that moment.';
comment on column tandem.fund_calendar.opening_day_micros is 'What was posted in it by then.';
comment on column tandem.fund_calendar.opening_month_id is 'Month of that moment.';
comment on column tandem.fund_calendar.opening_month_micros is 'What was posted in it by then.';
create sequence tandem.opening_version;
comment on sequence tandem.opening_version is 'Versions of openings, of all funds together: no fund has one twice, even if it is made again.';
insert into tandem.fund_calendar(account_id, currency, first_day)
select f.account_id, f.currency, (now() at time zone a.timezone)::date from tandem.fund f join tandem.account a on a.id = f.account_id;

create function tandem.open_windows(of_account bigint, of_currency text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  today    date := (select (clock_timestamp() at time zone a.timezone)::date from tandem.account a where a.id = of_account);
  day_id   integer := to_char(today, 'YYYYMMDD')::integer;
  month_id integer := to_char(today, 'YYYYMM')::integer;
begin
  update tandem.fund_calendar k
     set first_day = today, opening_version = nextval('tandem.opening_version'),
         opening_day_id = day_id, opening_day_micros = tandem.spent_in(of_account, of_currency, 'day', day_id),
         opening_month_id = month_id, opening_month_micros = tandem.spent_in(of_account, of_currency, 'month', month_id)
   where k.account_id = of_account and k.currency = of_currency;
end $$;
comment on function tandem.open_windows is 'Let Redis begin the windows of a fund with what is posted in them by now.';
revoke execute on function tandem.open_windows from public;

create function tandem.keep_calendar() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into tandem.fund_calendar(account_id, currency, first_day)
  select new.account_id, new.currency, (now() at time zone a.timezone)::date from tandem.account a where a.id = new.account_id
  on conflict (account_id, currency) do update set first_day = excluded.first_day;
  if tg_op = 'UPDATE' and (old.day_max_micros = 0 and new.day_max_micros > 0 or old.month_max_micros = 0 and new.month_max_micros > 0) then
    perform tandem.open_windows(new.account_id, new.currency);
  end if;
  return null;
end $$;
comment on function tandem.keep_calendar is 'Trigger: a fund that gets a spend cap knows its windows from today on, and what was spent in them before.';

create function tandem.move_calendar() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform tandem.open_windows(new.id, k.currency)
     from (select c.currency from tandem.fund_calendar c where c.account_id = new.id order by c.currency for update) as k;
  return null;
end $$;
comment on function tandem.move_calendar is 'Trigger: in another time zone another day is in force, and Redis begins it with what is posted in it.';
create trigger move_calendar after update of timezone on tandem.account
  for each row when (old.timezone <> new.timezone) execute function tandem.move_calendar();
create trigger keep_calendar_made after insert on tandem.fund for each row execute function tandem.keep_calendar();
create trigger keep_calendar_capped after update of day_max_micros, month_max_micros on tandem.fund
  for each row when (old.day_max_micros <> new.day_max_micros or old.month_max_micros <> new.month_max_micros)
  execute function tandem.keep_calendar();
create index fund_with_spend_cap on tandem.fund(account_id, currency) where day_max_micros > 0 or month_max_micros > 0;

create or replace function tandem.check_fund() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and (new.account_id, new.currency) is distinct from (old.account_id, old.currency) then
    raise check_violation using message = format('fund %s:%s keeps its account and currency', old.account_id, old.currency);
  elsif tg_op = 'INSERT' and exists (select from tandem.account a where a.id = new.account_id and a.kind = 'root') then
    raise check_violation using message = 'the root is billed by nobody and has no fund';
  elsif not exists (select from tandem.currency c where c.code = new.currency) then
    raise foreign_key_violation using message = format('fund of account %s: there is no currency %L', new.account_id, new.currency);
  end if;
  return new;
end $$;
comment on function tandem.check_fund is 'Trigger: the root has no fund, a fund keeps its name, its currency exists.';

-- Carriers: what we may owe them, and may spend with them.
alter table tandem.peering_group
  add column owed_max_micros tandem.micros constraint owed_max_is_not_negative check (owed_max_micros >= 0),
  add column day_max_micros tandem.micros constraint day_max_is_positive check (day_max_micros > 0),
  add column month_max_micros tandem.micros constraint month_max_is_positive check (month_max_micros > 0);
comment on column tandem.peering_group.owed_max_micros is
  'As soon as we owe the carrier so much it gets no more calls; in its deck''s currency; 0 = what was paid in advance may be used up; null = unlimited.';
comment on column tandem.peering_group.day_max_micros is 'As soon as its calls have cost so much in a day of the owner''s time zone it gets no more that day; null = unlimited.';
comment on column tandem.peering_group.month_max_micros is 'The same for a month; null = unlimited.';

create table tandem.fund_window (
  account_id   bigint not null,
  currency     text not null,
  kind         text not null constraint window_is_a_day_or_a_month check (kind in ('day', 'month')),
  window_id    integer not null,
  spent_micros bigint not null,
  primary key (account_id, currency, kind, window_id),
  foreign key (account_id, currency) references tandem.fund on delete cascade
);
comment on table tandem.fund_window is 'What calls that ended in a day or month of the account''s time zone have cost a fund, as far as they are posted.';
comment on column tandem.fund_window.account_id is 'Whose fund.';
comment on column tandem.fund_window.currency is 'The fund''s currency.';
comment on column tandem.fund_window.kind is 'day or month.';
comment on column tandem.fund_window.window_id is '20261122 or 202611.';
comment on column tandem.fund_window.spent_micros is 'Sum of the prices, late corrections included.';
create function tandem.spent_in(of_account bigint, of_currency text, of_kind text, of_window integer) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
return greatest(0, coalesce((
  select w.spent_micros from tandem.fund_window w
   where w.account_id = of_account and w.currency = of_currency and w.kind = of_kind and w.window_id = of_window), 0));
comment on function tandem.spent_in is 'What calls of a day or month have cost a fund, as far as they are posted; never below 0.';
revoke execute on function tandem.spent_in from public;
insert into tandem.fund_window(account_id, currency, kind, window_id, spent_micros)
select e.account_id, e.currency, w.kind, w.id, -sum(e.amount_micros)
  from tandem.ledger_entry e
  join tandem.account a on a.id = e.account_id
  left join tandem.cdr c on c.rid = e.rid
  cross join lateral (values
    ('day', to_char(coalesce(c.ended_at, e.posted_at) at time zone a.timezone, 'YYYYMMDD')::integer),
    ('month', to_char(coalesce(c.ended_at, e.posted_at) at time zone a.timezone, 'YYYYMM')::integer)) as w(kind, id)
 where e.book = 'fund' and e.rid is not null and e.posted_at > now() - interval '40 days'
 group by e.account_id, e.currency, w.kind, w.id;

create table tandem.threshold (
  id            bigint generated always as identity primary key,
  account_id    bigint not null,
  currency      text not null,
  kind          text not null constraint threshold_is_of_balance_day_or_month check (kind in ('balance', 'day', 'month')),
  amount_micros tandem.micros not null,
  lock          text
                constraint threshold_locks_or_warns check (lock is null or coalesce(tandem.lock_rank(lock), 0) > 0),
  created_at    timestamptz not null default now(),
  constraint a_threshold_of_spend_is_positive check (kind = 'balance' or amount_micros > 0),
  constraint threshold_is_not_said_twice unique (account_id, currency, kind, amount_micros),
  foreign key (account_id, currency) references tandem.fund on delete cascade
);
comment on table tandem.threshold is 'Where an alert is raised: the balance falls below it, or the spend of a day or month reaches it.';
comment on column tandem.threshold.id is 'Key; actor of the lock in the audit.';
comment on column tandem.threshold.account_id is 'Whose fund.';
comment on column tandem.threshold.currency is 'The fund''s currency.';
comment on column tandem.threshold.kind is 'balance, day or month.';
comment on column tandem.threshold.amount_micros is 'The threshold.';
comment on column tandem.threshold.lock is 'Lock that the account gets then, unless it has a stronger one; null = only the alert.';
comment on column tandem.threshold.created_at is 'When the row was made.';

create function tandem.check_threshold() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from tandem.fund f where f.account_id = new.account_id and f.currency = new.currency) then
    raise foreign_key_violation using message = format('threshold: account %s has no fund in %s', new.account_id, new.currency);
  end if;
  return new;
end $$;
comment on function tandem.check_threshold is 'Trigger: there is a fund to watch.';
create trigger check_threshold before insert or update on tandem.threshold for each row execute function tandem.check_threshold();

create table tandem.threshold_state (
  threshold_id bigint primary key references tandem.threshold on delete cascade,
  is_crossed   boolean not null default false
);
comment on table tandem.threshold_state is 'Which thresholds of a balance are crossed: the next alert needs a balance above first. Written by tandem.check_thresholds_v1.';
comment on column tandem.threshold_state.threshold_id is 'A threshold of kind balance.';
comment on column tandem.threshold_state.is_crossed is 'Whether the balance was below it when it was looked at last.';

create function tandem.make_threshold_state() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from tandem.threshold_state s where s.threshold_id = new.id;
  if new.kind = 'balance' then
    insert into tandem.threshold_state(threshold_id) values (new.id);
  end if;
  return null;
end $$;
comment on function tandem.make_threshold_state is 'Trigger: a new or changed threshold is armed.';
create trigger make_threshold_state after insert or update on tandem.threshold
  for each row execute function tandem.make_threshold_state();

create table tandem.alert (
  id            bigint generated always as identity primary key,
  threshold_id  bigint not null,
  account_id    bigint not null,
  currency      text not null,
  kind          text not null,
  amount_micros bigint not null,
  value_micros  bigint not null,
  window_id     integer,
  at            timestamptz not null default clock_timestamp()
);
create unique index one_alert_a_crossing on tandem.alert(threshold_id, window_id, amount_micros) where window_id is not null;
create index alert_by_account on tandem.alert(account_id, at);
comment on table tandem.alert is 'One row per crossing of a threshold; NOTIFY tandem_alert carries its id.';
comment on column tandem.alert.id is 'Key.';
comment on column tandem.alert.threshold_id is 'Which threshold; it may be gone since.';
comment on column tandem.alert.account_id is 'Whose fund.';
comment on column tandem.alert.currency is 'The fund''s currency.';
comment on column tandem.alert.kind is 'balance, day or month.';
comment on column tandem.alert.amount_micros is 'The threshold as it was.';
comment on column tandem.alert.value_micros is 'The balance or the spend that crossed it.';
comment on column tandem.alert.window_id is 'Which day or month; null for a balance.';
comment on column tandem.alert.at is 'When it was noticed.';

select tandem.feed_outbox('fund_calendar',
  'fund_terms', $q$ select r.account_id || ':' || r.currency $q$);
select tandem.feed_audit('threshold', 'r.id', 'r.account_id');

grant select on tandem.fund_calendar, tandem.fund_window, tandem.threshold, tandem.threshold_state, tandem.alert
  to tandem_sync, tandem_settle, tandem_tool;
grant insert, update, delete on tandem.threshold to tandem_tool;
