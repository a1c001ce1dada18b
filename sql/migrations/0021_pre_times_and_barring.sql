-- Times at which something holds, and who may not call whom: barring levels, block lists, and what accounts say of carriers.
set local role tandem_owner;

create function tandem.refeed_outbox(of_table text, variadic feeds text[]) returns void
language plpgsql
as $$
declare
  event text;
begin
  foreach event in array array['insert', 'update', 'delete', 'truncate'] loop
    execute format('drop trigger outbox_%s on tandem.%I', event, of_table);
  end loop;
  perform tandem.feed_outbox(of_table, variadic feeds);
end $$;
comment on function tandem.refeed_outbox is 'Give a table other outbox triggers than it has.';

create or replace function tandem.write_audit() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  image  constant text := 'select (%s)::text as key, (%s)::bigint as account_id, to_jsonb(r) as row from %I as r';
  nobody constant text := 'select null::text as key, null::bigint as account_id, null::jsonb as row where false';
  secret constant text[] := '{ha1_md5,ha1_sha256,login_ha1}';
  olds   text := nobody;
  news   text := nobody;
begin
  if tg_op = 'TRUNCATE' then
    insert into tandem.audit(actor, acting_account_id, table_name, key, action)
    values (tandem.actor(), nullif(current_setting('tandem.acting_account', true), '')::bigint, tg_table_name, '*', 'truncate');
    return null;
  end if;
  if tg_op <> 'INSERT' then
    olds := format(image, tg_argv[0], tg_argv[1], 'old_rows');
  end if;
  if tg_op <> 'DELETE' then
    news := format(image, tg_argv[0], tg_argv[1], 'new_rows');
  end if;
  execute format($q$
    insert into tandem.audit(actor, acting_account_id, account_id, table_name, key, action, changed, before, after)
    select tandem.actor(), nullif(current_setting('tandem.acting_account', true), '')::bigint,
           coalesce(n.account_id, o.account_id), %L, coalesce(n.key, o.key),
           case when o.row is null then 'insert' when n.row is null then 'delete' else 'update' end,
           case when o.row is not null and n.row is not null then tandem.changed_columns(o.row, n.row) else '{}' end,
           o.row - $1, n.row - $1
      from (%s) as o full join (%s) as n on n.key = o.key
     where o.row is distinct from n.row
  $q$, tg_table_name, olds, news) using secret;
  return null;
end $$;
comment on function tandem.write_audit is
  'Trigger(key, owner): writes old and new image of each changed row r; key and owner are expressions over r.';

-- Time sets

create function tandem.is_day(day integer) returns boolean
language plpgsql immutable strict
as $$
begin
  return day between 101 and 1231 and make_date(2000, day / 100, day % 100) is not null
         or day between 20000101 and 20991231 and make_date(day / 10000, day / 100 % 100, day % 100) is not null;
exception when datetime_field_overflow then
  return false;
end $$;
comment on function tandem.is_day is 'True for a day as yyyymmdd (2000 to 2099), or as mmdd: one of each year.';

create table tandem.time_set (
  id         bigint generated always as identity primary key,
  account_id bigint not null references tandem.account,
  name       tandem.label not null,
  timezone   text not null default 'UTC' constraint timezone_is_known check (tandem.is_timezone(timezone)),
  created_at timestamptz not null default now(),
  constraint time_set_name_is_unique_in_its_account unique (account_id, name)
);
comment on table tandem.time_set is 'Times at which something holds: its open days, else not on its shut days, else within its spans; without spans always.';
comment on column tandem.time_set.id is 'Key; tset:<id> in Redis.';
comment on column tandem.time_set.account_id is 'Owner; usable by it and by all below it.';
comment on column tandem.time_set.name is 'Unique among the owner''s time sets.';
comment on column tandem.time_set.timezone is 'Whose days and hours are meant.';
comment on column tandem.time_set.created_at is 'When the row was made.';
create trigger keep_owner before update of account_id on tandem.time_set
  for each row when (old.account_id <> new.account_id) execute function tandem.keep_owner();

create table tandem.time_set_span (
  time_set_id bigint not null references tandem.time_set on delete cascade,
  span        int4range not null
              constraint span_is_within_the_week
              check (span <@ int4range(0, 10080) and not isempty(span)),
  primary key (time_set_id, span)
);
comment on table tandem.time_set_span is 'A part of each week.';
comment on column tandem.time_set_span.time_set_id is 'The time set.';
comment on column tandem.time_set_span.span is 'Minutes since Monday 00:00 of the set''s time zone, e.g. [480,1080) is Monday from 8 to 18.';

create table tandem.time_set_day (
  time_set_id bigint not null references tandem.time_set on delete cascade,
  kind        text not null constraint kind_is_shut_or_open check (kind in ('shut', 'open')),
  first_day   integer not null constraint first_day_is_a_day check (tandem.is_day(first_day)),
  last_day    integer not null constraint last_day_is_a_day check (tandem.is_day(last_day)),
  primary key (time_set_id, kind, first_day, last_day),
  constraint days_are_of_one_form_and_in_order check (
    case when first_day < 10000 then last_day < 10000 else last_day >= first_day end)
);
comment on table tandem.time_set_day is 'Days that are an exception, from midnight to midnight.';
comment on column tandem.time_set_day.time_set_id is 'The time set.';
comment on column tandem.time_set_day.kind is 'shut: the set does not hold; open: it does, whatever else is said.';
comment on column tandem.time_set_day.first_day is 'yyyymmdd, or mmdd for one of each year.';
comment on column tandem.time_set_day.last_day is 'The last of them, in the same form; 1224 to 106 goes over the end of the year.';

-- Barring

create table tandem.barring_level (
  id              bigint generated always as identity primary key,
  account_id      bigint not null references tandem.account,
  name            tandem.label not null,
  mode            text not null constraint mode_is_blacklist_or_whitelist check (mode in ('blacklist', 'whitelist')),
  spares_internal boolean not null default false,
  time_set_id     bigint references tandem.time_set,
  created_at      timestamptz not null default now(),
  constraint barring_level_name_is_unique_in_its_account unique (account_id, name)
);
comment on table tandem.barring_level is 'What those who are on this level may not call.';
comment on column tandem.barring_level.id is 'Key; bar:<id> in Redis, named in refusals.';
comment on column tandem.barring_level.account_id is 'Owner; usable by it and by all below it.';
comment on column tandem.barring_level.name is 'Unique among the owner''s levels.';
comment on column tandem.barring_level.mode is 'blacklist: what a rule matches is refused; whitelist: all else is.';
comment on column tandem.barring_level.spares_internal is 'Whether calls to lines of ours pass.';
comment on column tandem.barring_level.time_set_id is 'It holds only then; null = always.';
comment on column tandem.barring_level.created_at is 'When the row was made.';
create trigger keep_owner before update of account_id on tandem.barring_level
  for each row when (old.account_id <> new.account_id) execute function tandem.keep_owner();

create table tandem.barring_rule (
  id               bigint generated always as identity primary key,
  barring_level_id bigint not null references tandem.barring_level on delete cascade,
  pattern          tandem.pattern not null constraint a_barring_rule_has_a_pattern check (pattern <> ''),
  created_at       timestamptz not null default now(),
  constraint barring_rule_is_not_said_twice unique (barring_level_id, pattern)
);
comment on table tandem.barring_rule is 'One pattern of a barring level.';
comment on column tandem.barring_rule.id is 'Key; named in refusals.';
comment on column tandem.barring_rule.barring_level_id is 'The level.';
comment on column tandem.barring_rule.pattern is 'Searched in the called number, E.164 digits.';
comment on column tandem.barring_rule.created_at is 'When the row was made.';

create function tandem.are_number_globs(items text[], of_callers boolean) returns boolean
language sql immutable strict
return cardinality(items) <= 200 and tandem.all_distinct(items)
       and tandem.all_match(items, case when of_callers then '^(anonymous|([0-9*?]|\[!?[0-9-]+\]){1,32})$' else '^([0-9*?]|\[!?[0-9-]+\]){1,32}$' end);
comment on function tandem.are_number_globs is 'True for up to 200 shell patterns (* ? [0-9]) over digits; of callers "anonymous" is one too.';

alter table tandem.account
  drop constraint routing_is_a_sequence_of_known_criteria,
  add constraint routing_is_a_sequence_of_known_criteria
    check (routing <@ array['prefix', 'priority', 'cost', 'quality', 'share', 'weight'] and tandem.all_distinct(routing)),
  add column barring_id bigint references tandem.barring_level,
  add column own_barring_id bigint references tandem.barring_level,
  add column blocked_in text[] not null default '{}'
    constraint blocked_in_are_shell_patterns_over_digits check (tandem.are_number_globs(blocked_in, true)),
  add column blocked_out text[] not null default '{}'
    constraint blocked_out_are_shell_patterns_over_digits check (tandem.are_number_globs(blocked_out, false)),
  add column carriers text not null default 'all'
    constraint carriers_is_known check (carriers in ('all', 'own_first', 'own_only')),
  add column loss_pct integer not null default 0 constraint loss_is_any_or_0_to_1000_percent check (loss_pct between -1 and 1000),
  add column attempts_max integer not null default 0 constraint attempts_are_0_to_16 check (attempts_max between 0 and 16);
comment on column tandem.account.routing is 'Sequence of {prefix, priority, cost, quality, share, weight}; empty = inherited.';
comment on column tandem.account.barring_id is 'Barring level that the account above has set, for all below too; null = none.';
comment on column tandem.account.own_barring_id is 'Barring level that the account has set itself; null = none.';
comment on column tandem.account.blocked_in is 'Who may not call lines of this account and of those below: shell patterns (* ? [0-9]), anonymous.';
comment on column tandem.account.blocked_out is 'Whom this account and those below may not call: shell patterns.';
comment on column tandem.account.carriers is
  'Whose carriers it and those below use, where it owns some: all, its own first, or its own only. The nearest account that owns carriers decides.';
comment on column tandem.account.loss_pct is 'How much dearer a carrier may be than what those below pay this account; -1 = any price.';
comment on column tandem.account.attempts_max is 'Servers tried per call, for all below too; 0 = as the account above.';

alter table tandem.sip_domain
  add column region text not null default '' constraint region_is_a_word check (region ~ '^[A-Za-z0-9._-]{0,32}$');
comment on column tandem.sip_domain.region is 'Whose emergency numbers count for its subscribers; empty = none in particular.';

alter table tandem.subscriber
  add column barring_id bigint references tandem.barring_level,
  add column own_barring_id bigint references tandem.barring_level,
  add column blocked_in text[] not null default '{}'
    constraint blocked_in_are_shell_patterns_over_digits check (tandem.are_number_globs(blocked_in, true)),
  add column blocked_out text[] not null default '{}'
    constraint blocked_out_are_shell_patterns_over_digits check (tandem.are_number_globs(blocked_out, false)),
  add column clir boolean not null default false,
  add column region text not null default '' constraint region_is_a_word check (region ~ '^[A-Za-z0-9._-]{0,32}$');
comment on column tandem.subscriber.barring_id is 'Barring level that its account has set; null = none.';
comment on column tandem.subscriber.own_barring_id is 'Barring level that its user has set; null = none.';
comment on column tandem.subscriber.blocked_in is 'Who may not call its numbers: shell patterns (* ? [0-9]), anonymous.';
comment on column tandem.subscriber.blocked_out is 'Whom it may not call: shell patterns.';
comment on column tandem.subscriber.clir is 'Whether its number is never shown, whatever the call asks.';
comment on column tandem.subscriber.region is 'Whose emergency numbers count; empty = the domain''s.';

create or replace function tandem.check_reach() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  row_values jsonb := to_jsonb(new);
  used_id    bigint := (row_values ->> tg_argv[0])::bigint;
  user_id    bigint := (row_values ->> case tg_table_name when 'account' then 'id' else 'account_id' end)::bigint;
  owner_id   bigint;
begin
  if used_id is null then
    return new;
  end if;
  if user_id is null then  -- a server's account is its group's
    select g.account_id into user_id from tandem.peering_group g where g.id = (row_values ->> 'group_id')::bigint;
  end if;
  execute format('select account_id from tandem.%I where id = $1', tg_argv[1]) into owner_id using used_id;
  if owner_id is not null and not tandem.is_self_or_above(owner_id, user_id) then
    raise check_violation using message = format('%s %s belongs to account %s, which is not account %s nor above it',
      replace(tg_argv[1], '_', ' '), used_id, owner_id, user_id);
  end if;
  return new;
end $$;
comment on function tandem.check_reach is
  'Trigger(column, table): the row that the column names belongs to the account or to one above it. Of an account itself: after, when it stands in the tree.';

create trigger check_reach_time_set before insert or update on tandem.barring_level
  for each row execute function tandem.check_reach('time_set_id', 'time_set');
create trigger check_reach_barring before insert or update on tandem.subscriber
  for each row execute function tandem.check_reach('barring_id', 'barring_level');
create trigger check_reach_own_barring before insert or update on tandem.subscriber
  for each row execute function tandem.check_reach('own_barring_id', 'barring_level');
create trigger check_reach_barring after insert or update of barring_id on tandem.account
  for each row execute function tandem.check_reach('barring_id', 'barring_level');
create trigger check_reach_own_barring after insert or update of own_barring_id on tandem.account
  for each row execute function tandem.check_reach('own_barring_id', 'barring_level');

select tandem.feed_outbox('time_set', 'time_set', $q$ select 'tset:' || r.id $q$);
select tandem.feed_outbox('time_set_span', 'time_set', $q$ select 'tset:' || r.time_set_id $q$);
select tandem.feed_outbox('time_set_day', 'time_set', $q$ select 'tset:' || r.time_set_id $q$);
select tandem.feed_outbox('barring_level', 'barring_level', $q$ select 'bar:' || r.id $q$);
select tandem.feed_outbox('barring_rule', 'barring_level', $q$ select 'bar:' || r.barring_level_id $q$);

select tandem.feed_audit('time_set', 'r.id', 'r.account_id');
select tandem.feed_audit('time_set_span', $e$r.time_set_id || '/' || r.span$e$, 'select t.account_id from tandem.time_set t where t.id = r.time_set_id');
select tandem.feed_audit('time_set_day', $e$r.time_set_id || '/' || r.kind || '/' || r.first_day || '/' || r.last_day$e$,
  'select t.account_id from tandem.time_set t where t.id = r.time_set_id');
select tandem.feed_audit('barring_level', 'r.id', 'r.account_id');
select tandem.feed_audit('barring_rule', 'r.id', 'select b.account_id from tandem.barring_level b where b.id = r.barring_level_id');

grant select on tandem.time_set, tandem.time_set_span, tandem.time_set_day, tandem.barring_level, tandem.barring_rule
  to tandem_sync, tandem_settle, tandem_tool;
grant insert, update, delete on tandem.time_set, tandem.time_set_span, tandem.time_set_day, tandem.barring_level, tandem.barring_rule
  to tandem_tool;
