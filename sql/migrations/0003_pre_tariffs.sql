-- Tariffs point to immutable rate sets: a price never changes under a call, and caches of it never age.
set local role tandem_owner;

create table tandem.tariff (
  id          bigint generated always as identity primary key,
  account_id  bigint not null references tandem.account,
  name        tandem.label not null,
  currency    text not null references tandem.currency,
  rate_set_id bigint,
  created_at  timestamptz not null default now(),
  constraint tariff_name_is_unique_in_its_account unique (account_id, name),
  constraint tariff_owner unique (id, account_id),
  constraint tariff_owner_and_currency unique (id, account_id, currency)
);
comment on table tandem.tariff is 'A price list: what an account charges those below it, or a carrier''s deck that charges the account.';
comment on column tandem.tariff.id is 'Key; tar:<id> in Redis.';
comment on column tandem.tariff.account_id is 'Owner: the account that charges by it (or that the carrier charges).';
comment on column tandem.tariff.name is 'Unique among the owner''s tariffs.';
comment on column tandem.tariff.currency is 'Currency of all its prices; fixed for ever.';
comment on column tandem.tariff.rate_set_id is 'The rate set in force: a ready one of this tariff; null = no prices yet, so no calls.';
comment on column tandem.tariff.created_at is 'When the row was made.';

alter table tandem.account add constraint tariff_is_one_of_the_parent_in_the_same_currency
  foreign key (tariff_id, parent_id, currency) references tandem.tariff (id, account_id, currency);
create index account_by_tariff on tandem.account(tariff_id);

create table tandem.rate_set (
  id         bigint generated always as identity primary key,
  tariff_id  bigint not null references tandem.tariff on delete cascade,
  version    integer not null constraint version_is_positive check (version > 0),
  state      text not null default 'building' constraint state_is_known check (state in ('building', 'ready')),
  created_at timestamptz not null default now(),
  constraint rate_set_version_is_unique_in_its_tariff unique (tariff_id, version),
  constraint rate_set_tariff unique (id, tariff_id)
);
comment on table tandem.rate_set is 'One version of a tariff''s prices; immutable once ready.';
comment on column tandem.rate_set.id is 'Key; rset:<id> and rate:<id> in Redis.';
comment on column tandem.rate_set.tariff_id is 'The tariff whose prices these are.';
comment on column tandem.rate_set.version is 'Counts up within the tariff.';
comment on column tandem.rate_set.state is 'building (rows are being loaded) -> ready (for ever).';
comment on column tandem.rate_set.created_at is 'When the row was made.';

alter table tandem.tariff add constraint rate_set_is_one_of_the_tariff
  foreign key (rate_set_id, id) references tandem.rate_set (id, tariff_id);

create table tandem.rate_class (
  rate_set_id    bigint not null references tandem.rate_set on delete cascade,
  idx            integer not null constraint idx_is_0_to_65535 check (idx between 0 and 65535),
  per_min_micros tandem.micros not null constraint per_min_is_not_negative check (per_min_micros >= 0),
  first_s        integer not null default 1 constraint first_s_is_1_to_3600 check (first_s between 1 and 3600),
  next_s         integer not null default 1 constraint next_s_is_1_to_3600 check (next_s between 1 and 3600),
  connect_micros tandem.micros not null default 0 constraint connect_is_not_negative check (connect_micros >= 0),
  forbidden      boolean not null default false,
  primary key (rate_set_id, idx)
);
comment on table tandem.rate_class is 'The distinct prices of a rate set; many prefixes share one.';
comment on column tandem.rate_class.rate_set_id is 'The rate set.';
comment on column tandem.rate_class.idx is 'Place in the rate set''s record, from 0 without gaps.';
comment on column tandem.rate_class.per_min_micros is 'Price of a minute of talk.';
comment on column tandem.rate_class.first_s is 'Seconds charged at once when the call is answered.';
comment on column tandem.rate_class.next_s is 'Seconds of each further begun increment.';
comment on column tandem.rate_class.connect_micros is 'Fee of an answered call.';
comment on column tandem.rate_class.forbidden is 'Nobody may call here at this level.';

-- No foreign keys: 10 million rows come in one COPY. The set's transition to ready proves what a key would.
create table tandem.rate (
  rate_set_id bigint not null,
  prefix      tandem.prefix not null,
  class_idx   integer not null,
  primary key (rate_set_id, prefix)
);
comment on table tandem.rate is 'Prefix -> price class of a rate set; the longest prefix of the called number counts.';
comment on column tandem.rate.rate_set_id is 'The rate set.';
comment on column tandem.rate.prefix is 'Beginning of E.164 numbers.';
comment on column tandem.rate.class_idx is 'Which price class of the set.';

create function tandem.check_tariff() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and (new.account_id, new.currency) is distinct from (old.account_id, old.currency) then
    raise check_violation using message = format('tariff %s %L keeps its owner and its currency; make another one', old.id, old.name);
  end if;
  if new.rate_set_id is not null
     and not exists (select from tandem.rate_set s where s.id = new.rate_set_id and s.tariff_id = new.id and s.state = 'ready') then
    raise check_violation using message =
      format('tariff %s %L can only point to a ready rate set of its own, and rate set %s is none', new.id, new.name, new.rate_set_id);
  end if;
  return new;
end $$;
comment on function tandem.check_tariff is 'Trigger: owner and currency are fixed; the pointer names a ready set of the tariff.';
create trigger check_tariff before insert or update on tandem.tariff for each row execute function tandem.check_tariff();

create function tandem.check_rate_set() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    if new.state <> 'building' then
      raise check_violation using message = format('rate set %s begins as building', new.id);
    end if;
    return new;
  end if;
  if old.state = 'ready' then
    raise check_violation using message = format('rate set %s is ready and cannot be changed; make a new version', old.id);
  elsif (new.id, new.tariff_id, new.version) is distinct from (old.id, old.tariff_id, old.version) then
    raise check_violation using message = format('rate set %s keeps its tariff and version', old.id);
  elsif new.state = 'ready' then
    perform tandem.check_rates(new.id);
  end if;
  return new;
end $$;
comment on function tandem.check_rate_set is 'Trigger: building -> ready and nothing after.';

create function tandem.check_rates(of_set bigint) returns void
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
  end if;
  select r.prefix, r.class_idx into bad from tandem.rate r
   where r.rate_set_id = of_set and r.class_idx not between 0 and classes - 1 limit 1;
  if found then
    raise check_violation using message =
      format('rate set %s: prefix %s names price class %s, which does not exist', of_set, bad.prefix, bad.class_idx);
  end if;
end $$;
comment on function tandem.check_rates is 'Error unless the set''s classes are gapless and every rate names one of them.';
create trigger check_rate_set before insert or update on tandem.rate_set for each row execute function tandem.check_rate_set();

create function tandem.drop_rates() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from tandem.rate where rate_set_id = old.id;
  return null;
end $$;
comment on function tandem.drop_rates is 'Trigger: the rates of a deleted set go with it.';
create trigger drop_rates after delete on tandem.rate_set for each row execute function tandem.drop_rates();

-- Once per statement, so that a COPY pays for it once. `for share` waits for a concurrent change to ready.
create function tandem.check_set_is_building() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  touched bigint;
  state   text;
begin
  if tg_op = 'TRUNCATE' then
    raise check_violation using message = format('%I is never truncated: ready rate sets are immutable', tg_table_name);
  end if;
  for touched in select distinct r.rate_set_id from touched_rows r loop
    select s.state into state from tandem.rate_set s where s.id = touched for share;
    if state = 'ready' then
      raise check_violation using message = format('rate set %s is ready: its prices cannot be changed; make a new version', touched);
    elsif state is null and tg_op <> 'DELETE' then
      raise foreign_key_violation using message = format('rate set %s does not exist', touched);
    end if;
  end loop;
  return null;
end $$;
comment on function tandem.check_set_is_building is 'Trigger: prices are written only while their set is building.';

create trigger check_inserted after insert on tandem.rate
  referencing new table as touched_rows for each statement execute function tandem.check_set_is_building();
create trigger check_updated_old after update on tandem.rate
  referencing old table as touched_rows for each statement execute function tandem.check_set_is_building();
create trigger check_updated_new after update on tandem.rate
  referencing new table as touched_rows for each statement execute function tandem.check_set_is_building();
create trigger check_deleted after delete on tandem.rate
  referencing old table as touched_rows for each statement execute function tandem.check_set_is_building();
create trigger check_truncated before truncate on tandem.rate
  for each statement execute function tandem.check_set_is_building();
create trigger check_inserted after insert on tandem.rate_class
  referencing new table as touched_rows for each statement execute function tandem.check_set_is_building();
create trigger check_updated_old after update on tandem.rate_class
  referencing old table as touched_rows for each statement execute function tandem.check_set_is_building();
create trigger check_updated_new after update on tandem.rate_class
  referencing new table as touched_rows for each statement execute function tandem.check_set_is_building();
create trigger check_deleted after delete on tandem.rate_class
  referencing old table as touched_rows for each statement execute function tandem.check_set_is_building();
create trigger check_truncated before truncate on tandem.rate_class
  for each statement execute function tandem.check_set_is_building();
