-- Roles, schemas, the register of migrations, and the types that every later table is made of.
-- Runs as the connecting user, who must be able to create roles; all later files run as tandem_owner.

do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values
      ('tandem_owner',  'nologin'),
      ('tandem_sync',   'login bypassrls'),  -- an empty answer of a policy would delete the world from Redis
      ('tandem_settle', 'login'),
      ('tandem_tool',   'login')
    ) as role(name, attributes)
  loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted.name) then
      begin
        execute format('create role %I %s', wanted.name, wanted.attributes);
      exception when duplicate_object or unique_violation then
        null;  -- another database of this cluster is migrated at the same moment
      end;
    end if;
  end loop;
end $$;

create schema tandem authorization tandem_owner;
create schema sync authorization tandem_owner;
comment on schema tandem is 'The truth: accounts, tariffs, subscribers, carriers, ledger, calls.';
comment on schema sync is 'What tandem sync may read: one view per record of kemi/records.py.';

set local role tandem_owner;

create table tandem.migration (
  name       text primary key,
  sha256     text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  applied_at timestamptz not null default now()
);
comment on table tandem.migration is 'Every file of sql/ that was applied; migrations never change, functions and views may.';
comment on column tandem.migration.name is 'Path below sql/, e.g. migrations/0001_pre_roles_and_types.sql.';
comment on column tandem.migration.sha256 is 'Hash of the file as applied: a changed migration is refused.';
comment on column tandem.migration.applied_at is 'When it was applied last.';

-- Functions of checks. Immutable in effect: they look at their arguments only.

create function tandem.all_match(items text[], pattern text) returns boolean
language sql immutable strict
return not exists (select from unnest(items) as item where item is null or item !~ pattern);
comment on function tandem.all_match is 'True when every item is there and matches the pattern; true for no items.';

create function tandem.all_distinct(items anyarray) returns boolean
language sql immutable strict
as $$
  select cardinality(items) = (select count(distinct item) from unnest(items) as item)
$$;
comment on function tandem.all_distinct is 'True when no item occurs twice.';

create function tandem.is_timezone(name text) returns boolean
language plpgsql immutable strict
as $$
begin
  perform timestamptz '2000-01-01' at time zone name;
  return name ~ '^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+)+)$';  -- Postgres alone would take any POSIX rule such as X3
exception when invalid_parameter_value then
  return false;
end $$;
comment on function tandem.is_timezone is 'True for a name of the time zone database.';

create function tandem.pattern_bones(pattern text) returns text
language sql immutable strict
return regexp_replace(regexp_replace(pattern, '\\.', 'x', 'g'), '\[\^?\]?[^\]]*\]', 'x', 'g');
comment on function tandem.pattern_bones is 'The pattern with escapes and character sets replaced by x: only its structure is left.';

create function tandem.pattern_fault(pattern text) returns text
language plpgsql immutable strict
as $$
declare
  bones text := tandem.pattern_bones(pattern);
  once  text;
begin
  if length(pattern) > 256 then
    return format('has %s characters, at most 256 are allowed', length(pattern));
  end if;
  -- The workers run Python's re. What the two engines read differently, and what neither bounds, is refused here.
  if pattern ~ '\\[^dDwWsS[:punct:]]' then
    return 'uses an escape other than \d \w \s \D \W \S or \ before punctuation';
  elsif pattern ~ '\[[:.=]' then
    return 'uses a named character class; write the set out';
  elsif bones ~ '\(\?(?!:)' then
    return 'uses a group other than ( ) or (?: )';
  elsif bones ~ '[*+?}][*+]' then
    return 'repeats a repeat';
  end if;
  begin
    perform '' ~ pattern;
  exception when invalid_regular_expression then
    return 'is no regular expression: ' || sqlerrm;
  end;
  loop  -- from the innermost group outwards
    if bones ~ '\([^()]*[*+}][^()]*\)[*+{]' then
      return 'repeats a group that holds a repeat: one call could keep a worker busy for ever';
    end if;
    once := regexp_replace(bones, '\((?:\?:)?([^()]*)\)', '\1');
    exit when once = bones;
    bones := once;
  end loop;
  return null;
end $$;
comment on function tandem.pattern_fault is 'Why an operator''s regular expression is refused; null when it is fine.';

create function tandem.check_pattern(pattern text) returns boolean
language plpgsql immutable strict
as $$
declare
  fault text := tandem.pattern_fault(pattern);
begin
  if fault is not null then
    raise check_violation using message = format('pattern %L %s', left(pattern, 80), fault);
  end if;
  return true;
end $$;
comment on function tandem.check_pattern is 'True for a usable pattern; otherwise an error that says what is wrong with it.';

create function tandem.replacement_fits(pattern text, replacement text) returns boolean
language sql immutable strict
return coalesce((select max(found[1]::integer) from regexp_matches(replacement, '\\([1-9])', 'g') as found), 0)
       <= regexp_count(tandem.pattern_bones(pattern), '\((?!\?)');
comment on function tandem.replacement_fits is 'True when every \1 … \9 of the replacement is a group of the pattern.';

create function tandem.is_source_network(network inet) returns boolean
language sql immutable strict
return masklen(network) >= case family(network) when 4 then 8 else 16 end
       and (network = inet '::1/128' or not network <<= inet '::/80');
comment on function tandem.is_source_network is
  'True for a network that may identify somebody: /8 or longer (IPv6 /16), never the whole Internet. IPv4 written '
  'inside IPv6 is refused: Postgres and Python spell such an address differently, and spelling is the key in Redis.';

-- Types. A domain says the rule once; the driver sees the base type.

create domain tandem.micros as bigint
  constraint money_is_within_2_to_the_50 check (value between -1125899906842624 and 1125899906842624);
comment on domain tandem.micros is 'Money: whole millionths of the unit of the currency named beside it.';

create domain tandem.e164 as text
  constraint number_is_e164_digits check (value ~ '^[1-9][0-9]{2,14}$');
comment on domain tandem.e164 is 'Canonical number: 3 to 15 digits without "+", the first 1-9.';

create domain tandem.prefix as text collate "C"
  constraint prefix_is_1_to_15_digits check (value ~ '^[1-9][0-9]{0,14}$');
comment on domain tandem.prefix is 'The beginning of an E.164 number.';

create domain tandem.pattern as text
  constraint pattern_is_usable check (tandem.check_pattern(value));
comment on domain tandem.pattern is 'Regular expression that the workers can run: at most 256 characters, bounded in time; empty = any.';

create domain tandem.label as text
  constraint name_is_1_to_64_printable_characters check (value ~ '^[^[:cntrl:]]{1,64}$' and value = btrim(value));
comment on domain tandem.label is 'Name for people: 1 to 64 printable characters, no blanks at the ends.';

create domain tandem.source_network as cidr
  constraint network_may_identify_somebody check (tandem.is_source_network(value));
comment on domain tandem.source_network is 'Network of a source of calls.';
