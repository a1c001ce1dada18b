-- Who calls and who is called: SIP domains, subscribers, trusted sources, numbers, and how numbers are rewritten.
set local role tandem_owner;

create table tandem.rewrite_set (
  id         bigint generated always as identity primary key,
  account_id bigint not null references tandem.account,
  name       tandem.label not null,
  created_at timestamptz not null default now(),
  constraint rewrite_set_name_is_unique_in_its_account unique (account_id, name)
);
comment on table tandem.rewrite_set is 'Rewrite rules that belong together; used by domains, subscribers, peering groups, servers.';
comment on column tandem.rewrite_set.id is 'Key; rws:<id> in Redis.';
comment on column tandem.rewrite_set.account_id is 'Owner; usable by it and by all below it.';
comment on column tandem.rewrite_set.name is 'Unique among the owner''s sets.';
comment on column tandem.rewrite_set.created_at is 'When the row was made.';

create table tandem.rewrite_rule (
  id             bigint generated always as identity primary key,
  rewrite_set_id bigint not null references tandem.rewrite_set on delete cascade,
  side           text not null
                 constraint side_is_known check (side in ('caller_in', 'callee_in', 'caller_out', 'callee_out')),
  priority       integer not null constraint priority_is_1_to_9999 check (priority between 1 and 9999),
  pattern        tandem.pattern not null constraint a_rewrite_rule_has_a_pattern check (pattern <> ''),
  replacement    text not null
                 constraint replacement_is_dialable_with_groups check (replacement ~ '^([0-9A-Za-z+*#._-]|\\[1-9]){0,64}$'),
  created_at     timestamptz not null default now(),
  constraint replacement_names_groups_of_the_pattern check (tandem.replacement_fits(pattern, replacement)),
  constraint rewrite_rule_priority_is_unique_in_its_list unique (rewrite_set_id, side, priority)
);
comment on table tandem.rewrite_rule is 'Ascending priority, the first match wins and is the only one applied.';
comment on column tandem.rewrite_rule.id is 'Key; named in traces.';
comment on column tandem.rewrite_rule.rewrite_set_id is 'The set.';
comment on column tandem.rewrite_rule.side is 'Caller''s or callee''s number; in: towards E.164, out: towards the next hop.';
comment on column tandem.rewrite_rule.priority is '1 is tried first; unique per list, so the order is total.';
comment on column tandem.rewrite_rule.pattern is 'Searched in the number; anchored only as written.';
comment on column tandem.rewrite_rule.replacement is 'Takes the place of what matched; \1 … \9 are the groups.';
comment on column tandem.rewrite_rule.created_at is 'When the row was made.';

create table tandem.sip_domain (
  id             bigint generated always as identity primary key,
  account_id     bigint not null references tandem.account,
  name           text not null
                 constraint domain_name_is_lower_case_dns
                 check (length(name) <= 253 and name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$'),
  enabled        boolean not null default true,
  rewrite_set_id bigint references tandem.rewrite_set,
  created_at     timestamptz not null default now(),
  constraint domain_name_is_free unique (name)
);
comment on table tandem.sip_domain is 'A SIP domain with the defaults of its subscribers.';
comment on column tandem.sip_domain.id is 'Key.';
comment on column tandem.sip_domain.account_id is 'Owner; it and all below it may have subscribers here.';
comment on column tandem.sip_domain.name is 'Host part of addresses of record, and the digest realm; dom:<name> in Redis.';
comment on column tandem.sip_domain.enabled is 'Whether its subscribers may call and be called.';
comment on column tandem.sip_domain.rewrite_set_id is 'Rewrite rules of subscribers that name none; null = none.';
comment on column tandem.sip_domain.created_at is 'When the row was made.';
create index sip_domain_by_account on tandem.sip_domain(account_id);

create table tandem.subscriber (
  id             bigint generated always as identity primary key,
  account_id     bigint not null references tandem.account,
  sip_domain_id  bigint not null references tandem.sip_domain,
  username       text not null constraint username_is_1_to_64_safe_characters check (username ~ '^[A-Za-z0-9._+-]{1,64}$'),
  status         text not null default 'active'
                 constraint status_is_known check (status in ('active', 'suspended', 'closed')),
  ha1_md5        text constraint ha1_md5_is_32_lower_case_hex check (ha1_md5 ~ '^[0-9a-f]{32}$'),
  ha1_sha256     text constraint ha1_sha256_is_64_lower_case_hex check (ha1_sha256 ~ '^[0-9a-f]{64}$'),
  cli            tandem.e164,
  cli_policy     text not null default 'override'
                 constraint cli_policy_is_known check (cli_policy in ('override', 'anonymise', 'reject')),
  allowed_clis   text[] not null default '{}'
                 constraint allowed_clis_are_shell_patterns_over_digits
                 check (tandem.all_match(allowed_clis, '^([0-9*?]|\[[0-9-]+\]){1,32}$')),
  rewrite_set_id bigint references tandem.rewrite_set,
  created_at     timestamptz not null default now(),
  constraint username_is_free_in_its_domain unique (sip_domain_id, username),
  constraint subscriber_account unique (id, account_id)
);
comment on table tandem.subscriber is 'A SIP line or trunk; identified by digest or by a trusted source.';
comment on column tandem.subscriber.id is 'Key.';
comment on column tandem.subscriber.account_id is 'Who pays for its calls.';
comment on column tandem.subscriber.sip_domain_id is 'Domain of the address of record; belongs to the account or to one above it.';
comment on column tandem.subscriber.username is 'User part of the address of record; sub:<username>@<domain> in Redis.';
comment on column tandem.subscriber.status is 'active -> suspended -> active, or closed.';
comment on column tandem.subscriber.ha1_md5 is 'md5(username:domain:password), hex; null = not offered. The password itself is nowhere.';
comment on column tandem.subscriber.ha1_sha256 is 'sha256(username:domain:password), hex; null = not offered.';
comment on column tandem.subscriber.cli is 'Own number, shown when the policy overrides.';
comment on column tandem.subscriber.cli_policy is 'What happens to a caller number that is not allowed.';
comment on column tandem.subscriber.allowed_clis is 'Numbers that the caller may show besides its own: shell patterns (* ? [0-9]).';
comment on column tandem.subscriber.rewrite_set_id is 'Own rewrite rules; null = the domain''s.';
comment on column tandem.subscriber.created_at is 'When the row was made.';
create index subscriber_by_account on tandem.subscriber(account_id);

create table tandem.trusted_source (
  id            bigint generated always as identity primary key,
  subscriber_id bigint not null references tandem.subscriber on delete cascade,
  network       tandem.source_network not null,
  transport     text not null default '' constraint transport_is_known check (transport in ('', 'udp', 'tcp', 'tls')),
  from_pattern  tandem.pattern not null default '',
  enabled       boolean not null default true,
  created_at    timestamptz not null default now(),
  constraint trusted_source_is_no_tie unique (network, transport, from_pattern)
);
comment on table tandem.trusted_source is 'Calls from this network, over this transport, with such a From are this subscriber''s.';
comment on column tandem.trusted_source.id is 'Key; named in traces.';
comment on column tandem.trusted_source.subscriber_id is 'For whom the source stands.';
comment on column tandem.trusted_source.network is 'Where the call comes from; src:<network> in Redis.';
comment on column tandem.trusted_source.transport is 'udp, tcp, tls; empty = any.';
comment on column tandem.trusted_source.from_pattern is 'Searched in the From URI; empty = any.';
comment on column tandem.trusted_source.enabled is 'A disabled source identifies nobody, and still holds its place.';
comment on column tandem.trusted_source.created_at is 'When the row was made.';
create index trusted_source_by_subscriber on tandem.trusted_source(subscriber_id);

create function tandem.check_trusted_source() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  other tandem.trusted_source;
begin
  select * into other from tandem.trusted_source t
   where t.network = new.network and t.transport = new.transport and t.from_pattern = new.from_pattern and t.id <> new.id;
  if found then
    raise unique_violation using message = format(
      'trusted source of subscriber %s ties with trusted source %s of subscriber %s: same network %s, transport %L and From pattern %L',
      new.subscriber_id, other.id, other.subscriber_id, new.network, new.transport, new.from_pattern);
  end if;
  return new;
end $$;
comment on function tandem.check_trusted_source is 'Trigger: names both sides of a tie; the unique constraint behind it stops concurrent ones.';
create trigger check_trusted_source before insert or update on tandem.trusted_source
  for each row execute function tandem.check_trusted_source();

create table tandem.number (
  id            bigint generated always as identity primary key,
  account_id    bigint not null references tandem.account,
  e164          tandem.e164 not null,
  status        text not null default 'active'
                constraint status_is_known check (status in ('active', 'suspended', 'closed')),
  subscriber_id bigint,
  created_at    timestamptz not null default now(),
  constraint number_is_free unique (e164),
  constraint number_reaches_a_subscriber_of_its_account
    foreign key (subscriber_id, account_id) references tandem.subscriber (id, account_id)
);
comment on table tandem.number is 'A DID: calls to it are this account''s and reach this subscriber.';
comment on column tandem.number.id is 'Key.';
comment on column tandem.number.account_id is 'Who holds the number; the account of the subscriber that it reaches.';
comment on column tandem.number.e164 is 'The number; num:<digits> in Redis.';
comment on column tandem.number.status is 'active -> suspended -> active, or closed.';
comment on column tandem.number.subscriber_id is 'Whom it reaches; null = held, reaches nobody yet.';
comment on column tandem.number.created_at is 'When the row was made.';
create index number_by_subscriber on tandem.number(subscriber_id);
create index number_by_account on tandem.number(account_id);

create table tandem.reply_override (
  account_id bigint not null references tandem.account on delete cascade,
  reason     text not null constraint reason_is_a_word check (reason ~ '^[a-z0-9_]{1,32}$'),
  status     integer not null constraint status_is_400_to_699 check (status between 400 and 699),
  phrase     text not null constraint phrase_is_1_to_64_printable_characters check (phrase ~ '^[^[:cntrl:]]{1,64}$'),
  created_at timestamptz not null default now(),
  primary key (account_id, reason)
);
comment on table tandem.reply_override is 'A tenant''s own SIP code and phrase for one refusal reason; the nearest account up the chain counts.';
comment on column tandem.reply_override.account_id is 'For this account and all below it.';
comment on column tandem.reply_override.reason is 'Stable reason of kemi/core/refusals.py.';
comment on column tandem.reply_override.status is 'SIP code to answer with.';
comment on column tandem.reply_override.phrase is 'Reason phrase to answer with.';
comment on column tandem.reply_override.created_at is 'When the row was made.';

-- What an account may use: its own things and those of accounts above it.
create function tandem.check_reach() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  row_values jsonb := to_jsonb(new);
  used_id    bigint := (row_values ->> tg_argv[0])::bigint;
  user_id    bigint := (row_values ->> 'account_id')::bigint;
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
comment on function tandem.check_reach is 'Trigger(column, table): the row that the column names belongs to the account or to one above it.';

create trigger check_reach_rewrite_set before insert or update on tandem.sip_domain
  for each row execute function tandem.check_reach('rewrite_set_id', 'rewrite_set');
create trigger check_reach_rewrite_set before insert or update on tandem.subscriber
  for each row execute function tandem.check_reach('rewrite_set_id', 'rewrite_set');
create trigger check_reach_domain before insert or update on tandem.subscriber
  for each row execute function tandem.check_reach('sip_domain_id', 'sip_domain');

create function tandem.keep_owner() returns trigger
language plpgsql
as $$
begin
  raise check_violation using message =
    format('%s %s %L keeps its account: others may be using it', replace(tg_table_name, '_', ' '), old.id, old.name);
end $$;
comment on function tandem.keep_owner is 'Trigger: what accounts below may be using does not change hands.';
create trigger keep_owner before update of account_id on tandem.rewrite_set
  for each row when (old.account_id <> new.account_id) execute function tandem.keep_owner();
create trigger keep_owner before update of account_id on tandem.sip_domain
  for each row when (old.account_id <> new.account_id) execute function tandem.keep_owner();
