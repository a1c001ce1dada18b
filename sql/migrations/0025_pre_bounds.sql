-- What is stored is bounded as a whole, and what is stored is what is used: lists of patterns, phrases, names, ported numbers.
set local role tandem_owner;

-- Patterns. Each was bounded; many on one call were not.

create function tandem.pattern_ways(pattern text) returns bigint
language sql immutable strict
return case when pattern = '' then 0 else tandem.pattern_paths(pattern) end;
comment on function tandem.pattern_ways is 'Like pattern_paths, but 0 for no pattern: nothing is tried.';

create or replace function tandem.pattern_fault(pattern text) returns text
language plpgsql immutable strict
as $$
declare
  token  record;
  before text := '';
  fault  text;
begin
  if length(pattern) > 256 then
    return format('has %s characters, at most 256 are allowed', length(pattern));
  elsif pattern ~ '[[:cntrl:]]' then
    return 'has a character that cannot be printed';
  elsif pattern ~ '\\[^dDwWsS[:punct:]]' then
    return 'uses an escape other than \d \w \s \D \W \S or \ before punctuation';
  elsif pattern ~ '\[[:.=]' then
    return 'uses a named character class; write the set out';
  end if;
  for token in select * from tandem.pattern_steps(pattern) loop
    fault := tandem.step_fault(token.step, token.class, before);
    exit when fault is not null;
    before := token.class;
  end loop;
  if fault is not null then
    return fault;
  end if;
  begin
    perform '' ~ pattern;
  exception when invalid_regular_expression then
    return 'is no regular expression: ' || sqlerrm;
  end;
  if tandem.pattern_paths(pattern) > 66564 then  -- 4 × 129²: PATHS_MAX of kemi/core/pattern.py
    return 'has nested or too many repeats: begin it with ^, and repeat without bound once or twice';
  end if;
  return null;
end $$;

alter table tandem.rewrite_rule add column ways bigint generated always as (tandem.pattern_ways(pattern)) stored;
alter table tandem.inbound_rule add column ways bigint generated always as (tandem.pattern_ways(pattern)) stored;
alter table tandem.barring_rule add column ways bigint generated always as (tandem.pattern_ways(pattern)) stored;
alter table tandem.trusted_source add column ways bigint generated always as (tandem.pattern_ways(from_pattern)) stored;
alter table tandem.peering_rule add column ways bigint
  generated always as (tandem.pattern_ways(callee_pattern) + tandem.pattern_ways(caller_pattern)) stored;
comment on column tandem.rewrite_rule.ways is 'How many ways there are to try its pattern; a side of a set has at most 133128 of them.';
comment on column tandem.inbound_rule.ways is 'How many ways there are to try its pattern; the rules of a carrier have at most 133128 of them.';
comment on column tandem.barring_rule.ways is 'How many ways there are to try its pattern; the rules of a level have at most 133128 of them.';
comment on column tandem.trusted_source.ways is 'How many ways there are to try its pattern; the sources of a network have at most 133128 of them.';
comment on column tandem.peering_rule.ways is 'How many ways there are to try its patterns; the rules of an owner have at most 133128 of them.';
create index peering_rule_with_patterns on tandem.peering_rule(account_id) include (ways) where ways > 0;

create function tandem.bound_list() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  same  text := '';
  key   text;
  rules bigint;
  ways  bigint;
begin
  foreach key in array string_to_array(tg_argv[0], ',') loop
    same := same || format(' and r.%I = ($1).%I', key, key);
  end loop;
  execute format('select count(*), sum(r.ways) from tandem.%I r where r.ways > 0%s', tg_table_name, same) into rules, ways using new;
  if rules > tg_argv[1]::bigint then
    raise check_violation using message = format('%s would have %s patterns; at most %s are allowed', tg_argv[2], rules, tg_argv[1]);
  elsif ways > 133128 then  -- 8 × 129²: WAYS_MAX of kemi/core/pattern.py
    raise check_violation using message = format(
      'the patterns of %s have %s ways to be tried together, at most 133128 are allowed: one call could keep a worker busy; begin them with ^, and repeat less',
      tg_argv[2], ways);
  end if;
  return null;
end $$;
comment on function tandem.bound_list is
  'Trigger(columns, most, of what): rows that agree in these columns are tried one after the other on one call, so they are bounded together. Without a lock: two people who write at a time may go beyond it, and nobody waits.';
create trigger bound_list after insert or update on tandem.rewrite_rule
  for each row when (new.ways > 0) execute function tandem.bound_list('rewrite_set_id,side', '500', 'this side of the rewrite set');
create trigger bound_list after insert or update on tandem.inbound_rule
  for each row when (new.ways > 0) execute function tandem.bound_list('group_id', '500', 'the inbound rules of the carrier');
create trigger bound_list after insert or update on tandem.barring_rule
  for each row when (new.ways > 0) execute function tandem.bound_list('barring_level_id', '2000', 'the barring level');
create trigger bound_list after insert or update on tandem.trusted_source
  for each row when (new.ways > 0) execute function tandem.bound_list('network', '1024', 'the trusted sources of the network');
create trigger bound_list after insert or update on tandem.peering_rule
  for each row when (new.ways > 0) execute function tandem.bound_list('account_id', '5000', 'the peering rules of the account');

-- Answers. Phrases as kemi/core/refusals.py sends them, and no challenge without one.

alter table tandem.inbound_rule
  drop constraint phrase_is_1_to_64_printable_characters,
  add constraint phrase_is_1_to_64_printable_ascii_characters check (phrase ~ '^[ -~]{1,64}$');
alter table tandem.reply_override
  drop constraint phrase_is_1_to_64_printable_characters,
  add constraint phrase_is_1_to_64_printable_ascii_characters check (phrase ~ '^[ -~]{1,64}$');
alter table tandem.hunt_rule
  drop constraint told_phrase_is_1_to_64_printable_characters,
  add constraint told_phrase_is_1_to_64_printable_ascii_characters check (told_phrase ~ '^[ -~]{1,64}$'),
  add constraint told_status_is_no_challenge check (told_status not in (401, 407));

-- Shell patterns. A range that counts down fits nothing.

create function tandem.has_empty_range(globs text[]) returns boolean
language sql immutable strict
as $$
  select exists (
    select from unnest(globs) as glob,
                regexp_matches(glob, '\[!?([^]]*)\]', 'g') as content,
                regexp_matches(content[1], '([0-9])-([0-9])', 'g') as ends
     where ends[1] > ends[2])
$$;
comment on function tandem.has_empty_range is 'True when a shell pattern has a range such as [9-0], which fits nothing.';
alter table tandem.account
  add constraint blocked_in_have_no_empty_range check (not tandem.has_empty_range(blocked_in)),
  add constraint blocked_out_have_no_empty_range check (not tandem.has_empty_range(blocked_out));
alter table tandem.subscriber
  add constraint blocked_in_have_no_empty_range check (not tandem.has_empty_range(blocked_in)),
  add constraint blocked_out_have_no_empty_range check (not tandem.has_empty_range(blocked_out)),
  add constraint allowed_clis_have_no_empty_range check (not tandem.has_empty_range(allowed_clis));

-- Ported numbers count for everybody, so their carriers have to be everybody's.

create function tandem.check_ported_group() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  owner record;
begin
  select g.name as carrier, a.id, a.name into owner
    from tandem.peering_group g join tandem.account a on a.id = g.account_id
   where g.id = new.group_id and a.parent_id is not null;
  if found then
    raise check_violation using message = format('ported number %s: carrier %L belongs to account %s %L; ported numbers count for all accounts, so only a carrier of the root may serve them',
      new.digits, owner.carrier, owner.id, owner.name);
  end if;
  return new;
end $$;
comment on function tandem.check_ported_group is 'Trigger: the carrier of a ported number is the root''s.';
create trigger check_ported_group before insert or update on tandem.ported_number
  for each row when (new.group_id is not null) execute function tandem.check_ported_group();

-- What DNS says of a carrier's server makes nobody else's calls the carrier's.

create or replace function tandem.check_server_address() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  server tandem.peering_server;
  taken  record;
begin
  select * into server from tandem.peering_server s where s.id = new.server_id;
  if server.host is null then
    raise check_violation using message = format('server %s has no name that could stand for %s', new.server_id, host(new.address));
  end if;
  if new.address <<= any ('{0.0.0.0/8,169.254.0.0/16,224.0.0.0/3,fe80::/10,ff00::/8}'::inet[]) then
    raise check_violation using message = format('server %L: %s is the address of no host', server.name, host(new.address));
  end if;
  select t.id, t.network into taken from tandem.trusted_source t where new.address <<= t.network limit 1;
  if found then
    raise check_violation using message = format('server %L: %s lies in network %s of trusted source %s; only an operator may say that calls from there are a carrier''s, by writing the address',
      server.name, host(new.address), taken.network, taken.id);
  end if;
  perform tandem.refuse_shared_network(server.group_id, server.id, server.name, array[new.address::cidr]);
  return new;
end $$;
comment on function tandem.check_server_address is
  'Trigger: what a name stands for is a host''s address, no other group''s, and in no network of a trusted source.';

create function tandem.prefer_trusted_source() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from tandem.peering_server_address a where a.address <<= new.network;
  return null;
end $$;
comment on function tandem.prefer_trusted_source is 'Trigger: what names of servers stand for gives way to a trusted source that an operator writes.';
create trigger prefer_trusted_source after insert or update of network on tandem.trusted_source
  for each row execute function tandem.prefer_trusted_source();

delete from tandem.peering_server_address a
 using tandem.trusted_source t
 where a.address <<= t.network;

-- What columns mean, where that was not said.

comment on table tandem.time_set is
  'Times at which something holds: its open days, else not on its shut days, else within its spans; without spans always, but with open days and no spans on those days only.';
comment on column tandem.account.carriers is
  'Whose carriers it and those below use: all; its own before those of accounts above (own_first); or none of those above (own_only). While it owns no carrier this says nothing, and those of the accounts above are used.';

-- What is there already obeys, or is named before this release and not found out after it.
do $$
declare
  wrong text;
begin
  select string_agg(said, '; ' order by said) into wrong from (
    select format('%s %s %L %s', p.of_table, p.id, p.pattern, tandem.pattern_fault(p.pattern)) as said from (
      select 'rewrite rule' as of_table, r.id, r.pattern::text from tandem.rewrite_rule r
      union all select 'inbound rule', i.id, i.pattern from tandem.inbound_rule i
      union all select 'barring rule', b.id, b.pattern from tandem.barring_rule b
      union all select 'trusted source', t.id, t.from_pattern from tandem.trusted_source t
      union all select 'peering rule', r.id, u.pattern
        from tandem.peering_rule r, unnest(array[r.callee_pattern::text, r.caller_pattern::text]) as u(pattern)
    ) as p(of_table, id, pattern)
     where tandem.pattern_fault(p.pattern) is not null
    union all
    select format('%s: %s patterns, %s ways', l.list, l.rules, l.ways) from (
      select format('rewrite set %s %s', r.rewrite_set_id, r.side), count(*), sum(r.ways), 500 from tandem.rewrite_rule r where r.ways > 0 group by r.rewrite_set_id, r.side
      union all select format('inbound rules of carrier %s', i.group_id), count(*), sum(i.ways), 500 from tandem.inbound_rule i where i.ways > 0 group by i.group_id
      union all select format('barring level %s', b.barring_level_id), count(*), sum(b.ways), 2000 from tandem.barring_rule b where b.ways > 0 group by b.barring_level_id
      union all select format('trusted sources by %s', t.network), count(*), sum(t.ways), 1024 from tandem.trusted_source t where t.ways > 0 group by t.network
      union all select format('peering rules of account %s', r.account_id), count(*), sum(r.ways), 5000 from tandem.peering_rule r where r.ways > 0 group by r.account_id
    ) as l(list, rules, ways, most)
     where l.rules > l.most or l.ways > 133128
    union all
    select format('ported number %s: its carrier %s is not the root''s', n.digits, g.name)
      from tandem.ported_number n join tandem.peering_group g on g.id = n.group_id
      join tandem.account a on a.id = g.account_id where a.parent_id is not null
  ) as w;
  if wrong is not null then
    raise check_violation using message = 'write these another way, then migrate: ' || left(wrong, 2000);
  end if;
end $$;
