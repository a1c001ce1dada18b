-- Prices by the time of the week, least prices, price lists to come, and how the price of a call is rounded.
set local role tandem_owner;

alter table tandem.tariff
  add column timezone text not null default 'UTC' constraint timezone_is_known check (tandem.is_timezone(timezone)),
  add column rounding text not null default 'up'
    constraint rounding_is_known check (rounding in ('up', 'down', 'half_up', 'half_even')),
  add column round_to_micros integer not null default 1
    constraint round_to_is_1_micro_to_1_unit check (round_to_micros between 1 and 1000000),
  add column onnet text not null default 'free' constraint onnet_is_known check (onnet in ('free', 'other', 'all')),
  add column inbound_rate_set_id bigint,
  add constraint inbound_rate_set_is_one_of_the_tariff
    foreign key (inbound_rate_set_id, id) references tandem.rate_set (id, tariff_id);
comment on column tandem.tariff.rate_set_id is
  'A ready rate set of this tariff, in force until its first deck begins; null = no prices, so no calls.';
comment on column tandem.tariff.timezone is 'Whose Monday 00:00 the periods of its rate sets count from.';
comment on column tandem.tariff.rounding is 'How the price of a call is rounded to whole multiples of round_to_micros.';
comment on column tandem.tariff.round_to_micros is 'The least unit of a price.';
comment on column tandem.tariff.onnet is 'Which calls between lines of ours cost what the rates say: none (free), those to another customer (other), all.';
comment on column tandem.tariff.inbound_rate_set_id is
  'What calls TO a number cost, by the longest prefix of that number: a ready rate set of this tariff; null = nothing.';

create table tandem.tariff_deck (
  tariff_id   bigint not null references tandem.tariff on delete cascade,
  valid_from  timestamptz not null
              constraint deck_begins_between_2000_and_2100
              check (valid_from >= '2000-01-01 00:00Z' and valid_from < '2100-01-01 00:00Z'),
  rate_set_id bigint,
  created_at  timestamptz not null default now(),
  constraint two_decks_do_not_begin_together primary key (tariff_id, valid_from),
  constraint deck_is_a_rate_set_of_the_tariff foreign key (rate_set_id, tariff_id) references tandem.rate_set (id, tariff_id)
);
comment on table tandem.tariff_deck is 'Which prices of a tariff are in force from when on, until its next deck begins.';
comment on column tandem.tariff_deck.tariff_id is 'The tariff.';
comment on column tandem.tariff_deck.valid_from is 'Calls that begin at this moment or later cost what the rate set says.';
comment on column tandem.tariff_deck.rate_set_id is 'A ready rate set of the tariff; null = from then on there are no prices.';
comment on column tandem.tariff_deck.created_at is 'When the row was made.';

create or replace function tandem.check_tariff() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  wrong bigint;
begin
  if tg_op = 'UPDATE' and (new.account_id, new.currency) is distinct from (old.account_id, old.currency) then
    raise check_violation using message = format('tariff %s %L keeps its owner and its currency; make another one', old.id, old.name);
  elsif not exists (select from tandem.currency c where c.code = new.currency) then
    raise foreign_key_violation using message = format('tariff %L: there is no currency %L', new.name, new.currency);
  end if;
  select id into wrong from unnest(array[new.rate_set_id, new.inbound_rate_set_id]) as id
   where id is not null and id not in (select s.id from tandem.rate_set s where s.tariff_id = new.id and s.state = 'ready') limit 1;
  if found then
    raise check_violation using message =
      format('tariff %s %L can only point to a ready rate set of its own, and rate set %s is none', new.id, new.name, wrong);
  elsif tg_op = 'UPDATE' and new.rate_set_id is distinct from old.rate_set_id
        and exists (select from tandem.tariff_deck d where d.tariff_id = new.id and d.valid_from <= now()) then
    raise check_violation using message =
      format('tariff %s %L: a deck of it is in force; new prices come as another deck', new.id, new.name);
  end if;
  return new;
end $$;
comment on function tandem.check_tariff is 'Trigger: owner and currency are fixed; the pointers name ready sets of the tariff.';

create function tandem.check_deck() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if new.rate_set_id is not null and not exists (
    select from tandem.rate_set s where s.id = new.rate_set_id and s.tariff_id = new.tariff_id and s.state = 'ready') then
    raise check_violation using message =
      format('tariff %s: a deck is a ready rate set of the tariff, and rate set %s is none', new.tariff_id, new.rate_set_id);
  end if;
  return new;
end $$;
comment on function tandem.check_deck is 'Trigger: a deck is a ready set of its tariff.';
create trigger check_deck before insert or update on tandem.tariff_deck for each row execute function tandem.check_deck();

create function tandem.keep_begun_deck() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from tandem.tariff t where t.id = old.tariff_id) then  -- else: it goes with its tariff
    raise check_violation using message =
      format('tariff %s: its deck from %s has been in force and stays; enter a newer one', old.tariff_id, old.valid_from);
  end if;
  return old;
end $$;
comment on function tandem.keep_begun_deck is 'Trigger: a deck by which calls were priced stays.';
create trigger keep_begun_deck before update or delete on tandem.tariff_deck
  for each row when (old.valid_from <= now()) execute function tandem.keep_begun_deck();

create function tandem.refuse_past_deck() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from tandem.tariff_deck d where d.tariff_id = new.tariff_id) then
    raise check_violation using message =
      format('tariff %s: a deck cannot begin at %s, in the past: calls were priced without it; only its first deck may', new.tariff_id, new.valid_from);
  end if;
  return new;
end $$;
comment on function tandem.refuse_past_deck is 'Trigger: only the first deck of a tariff begins in the past, which has a minute of grace.';
create trigger refuse_past_deck before insert or update on tandem.tariff_deck
  for each row when (new.valid_from < now() - interval '1 minute') execute function tandem.refuse_past_deck();

create function tandem.check_decks() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  tariff tandem.tariff;
  gap    record;
begin
  select * into tariff from tandem.tariff t where t.id = coalesce(new.tariff_id, old.tariff_id) for no key update;
  select d.valid_from, d.until into gap
    from (select valid_from, rate_set_id, lead(valid_from) over (order by valid_from) as until
            from tandem.tariff_deck where tariff_id = tariff.id) as d
   where d.rate_set_id is null and d.valid_from > now() and d.until is not null limit 1;
  if found then
    raise check_violation using message = format('tariff %s %L would have no prices from %s to %s: a gap between two decks',
      tariff.id, tariff.name, gap.valid_from, gap.until);
  elsif (select count(*) from tandem.tariff_deck d where d.tariff_id = tariff.id and d.valid_from > now()) > 12 then
    raise check_violation using message = format('tariff %s %L has 12 decks to come already', tariff.id, tariff.name);
  end if;
  return null;
end $$;
comment on function tandem.check_decks is
  'Trigger: the decks of a tariff leave no gap between them, and few enough wait for one fetch to bring them all.';
create trigger check_decks after insert or update or delete on tandem.tariff_deck
  for each row execute function tandem.check_decks();

-- One moment for all records: what had ended before it is left out of them, so that they do not grow for ever.
create table tandem.horizon (
  at timestamptz not null
);
create unique index there_is_one_horizon on tandem.horizon ((true));
insert into tandem.horizon(at) values (now() - interval '1 day');
comment on table tandem.horizon is 'One row: prices and exchange rates that were over before it stand in no record; moved daily by tandem.refresh_windows_v1.';
comment on column tandem.horizon.at is 'At least a day ago.';

create function tandem.spans_lie_within_week(spans int4range[]) returns boolean
language sql immutable strict
return not exists (select from unnest(spans) as span
                    where span is null or isempty(span) or lower(span) is null or upper(span) is null
                          or lower(span) < 0 or upper(span) > 10080);
comment on function tandem.spans_lie_within_week is 'True when every span is some minutes of the week, which has 10080.';

create function tandem.spans_overlap(spans int4range[]) returns boolean
language sql immutable strict
return exists (select from unnest(spans) with ordinality as a(span, place), unnest(spans) with ordinality as b(span, place)
                where a.place < b.place and a.span && b.span);
comment on function tandem.spans_overlap is 'True when two of the spans share a minute.';

create table tandem.rate_period (
  rate_set_id bigint not null references tandem.rate_set on delete cascade,
  idx         integer not null constraint period_idx_is_0_to_15 check (idx between 0 and 15),
  name        tandem.label not null,
  spans       int4range[] not null
              constraint a_period_has_1_to_64_spans check (cardinality(spans) between 1 and 64)
              constraint spans_lie_within_the_week check (tandem.spans_lie_within_week(spans))
              constraint spans_of_a_period_do_not_overlap check (not tandem.spans_overlap(spans)),
  primary key (rate_set_id, idx),
  constraint period_name_is_unique_in_its_rate_set unique (rate_set_id, name)
);
comment on table tandem.rate_period is 'Times of the week that have prices of their own; of several that fit, the lowest idx counts.';
comment on column tandem.rate_period.rate_set_id is 'The rate set.';
comment on column tandem.rate_period.idx is 'Place in the rate set''s record, from 0 without gaps.';
comment on column tandem.rate_period.name is 'For people: peak, weekend ….';
comment on column tandem.rate_period.spans is 'Minutes since Monday 00:00 of the tariff''s time zone, e.g. [480,1080) is Monday from 8 to 18.';

alter table tandem.rate_class
  add column min_micros tandem.micros not null default 0 constraint min_is_not_negative check (min_micros >= 0),
  -- not valid: what an earlier release has let in is immutable
  add constraint a_minute_costs_at_most_a_million_units check (per_min_micros <= 1000000000000) not valid,
  add constraint a_call_costs_at_least_at_most_a_million_units
    check (connect_micros <= 1000000000000 and min_micros <= 1000000000000) not valid;
comment on column tandem.rate_class.min_micros is 'Least price of an answered call.';

create table tandem.rate_class_period (
  rate_set_id    bigint not null,
  class_idx      integer not null,
  period_idx     integer not null,
  per_min_micros tandem.micros not null
                 constraint per_min_is_0_to_a_million_units check (per_min_micros between 0 and 1000000000000),
  connect_micros tandem.micros not null default 0
                 constraint connect_is_0_to_a_million_units check (connect_micros between 0 and 1000000000000),
  primary key (rate_set_id, class_idx, period_idx),
  constraint price_class_exists foreign key (rate_set_id, class_idx) references tandem.rate_class (rate_set_id, idx) on delete cascade,
  constraint period_exists foreign key (rate_set_id, period_idx) references tandem.rate_period (rate_set_id, idx) on delete cascade
);
comment on table tandem.rate_class_period is 'What a price class costs in a period instead of its ordinary price.';
comment on column tandem.rate_class_period.rate_set_id is 'The rate set.';
comment on column tandem.rate_class_period.class_idx is 'Which price class of the set.';
comment on column tandem.rate_class_period.period_idx is 'Which period of the set.';
comment on column tandem.rate_class_period.per_min_micros is 'Price of a minute of talk.';
comment on column tandem.rate_class_period.connect_micros is 'Fee of a call that is answered in the period.';

create or replace function tandem.check_rates(of_set bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  classes integer;
  bad     record;
begin
  select count(*) into classes from tandem.rate_class c where c.rate_set_id = of_set;
  if classes = 0 then
    raise check_violation using message = format('rate set %s has no price class', of_set);
  elsif (select max(c.idx) from tandem.rate_class c where c.rate_set_id = of_set) <> classes - 1 then
    raise check_violation using message = format('rate set %s: price classes must count 0, 1, 2 … without gaps', of_set);
  elsif (select max(p.idx) <> count(*) - 1 from tandem.rate_period p where p.rate_set_id = of_set) then
    raise check_violation using message = format('rate set %s: periods must count 0, 1, 2 … without gaps', of_set);
  end if;
  select r.prefix, r.class_idx into bad from tandem.rate r
   where r.rate_set_id = of_set and r.class_idx not between 0 and classes - 1 limit 1;
  if found then
    raise check_violation using message =
      format('rate set %s: prefix %s names price class %s, which does not exist', of_set, bad.prefix, bad.class_idx);
  end if;
end $$;
comment on function tandem.check_rates is 'Error unless the set''s classes and periods are gapless and every rate names a class.';

do $$
declare
  of_table text;
begin
  foreach of_table in array array['rate_period', 'rate_class_period'] loop
    execute format('create trigger check_inserted after insert on tandem.%I referencing new table as touched_rows
                      for each statement execute function tandem.check_set_is_building()', of_table);
    execute format('create trigger check_updated_old after update on tandem.%I referencing old table as touched_rows
                      for each statement execute function tandem.check_set_is_building()', of_table);
    execute format('create trigger check_updated_new after update on tandem.%I referencing new table as touched_rows
                      for each statement execute function tandem.check_set_is_building()', of_table);
    execute format('create trigger check_deleted after delete on tandem.%I referencing old table as touched_rows
                      for each statement execute function tandem.check_set_is_building()', of_table);
    execute format('create trigger check_truncated before truncate on tandem.%I
                      for each statement execute function tandem.check_set_is_building()', of_table);
  end loop;
end $$;

select tandem.feed_outbox('tariff_deck',
  'tariff', $q$ select 'tar:' || r.tariff_id $q$);
select tandem.feed_audit('tariff_deck', $e$r.tariff_id || '/' || r.valid_from$e$, 'select t.account_id from tandem.tariff t where t.id = r.tariff_id');

grant select on tandem.tariff_deck, tandem.horizon, tandem.rate_period, tandem.rate_class_period to tandem_sync, tandem_settle, tandem_tool;
grant insert, update, delete on tandem.tariff_deck, tandem.rate_period, tandem.rate_class_period to tandem_tool;
