-- Carriers: groups of servers that terminate the same destinations, what they take, and what they may send.
set local role tandem_owner;

create table tandem.peering_group (
  id             bigint generated always as identity primary key,
  account_id     bigint not null references tandem.account,
  contact_id     bigint references tandem.contact,
  name           tandem.label not null,
  priority       integer not null default 5 constraint priority_is_1_to_9 check (priority between 1 and 9),
  enabled        boolean not null default true,
  tariff_id      bigint not null,
  rewrite_set_id bigint references tandem.rewrite_set,
  created_at     timestamptz not null default now(),
  constraint peering_group_name_is_unique_in_its_account unique (account_id, name),
  constraint peering_group_account unique (id, account_id),
  constraint deck_is_a_tariff_of_the_owner foreign key (tariff_id, account_id) references tandem.tariff (id, account_id)
);
comment on table tandem.peering_group is 'A carrier: all its servers terminate the same destinations.';
comment on column tandem.peering_group.id is 'Key; pg:<id> in Redis.';
comment on column tandem.peering_group.account_id is 'Who owns the interconnection and pays the carrier; only its subtree may use it.';
comment on column tandem.peering_group.contact_id is 'Whom to write to.';
comment on column tandem.peering_group.name is 'Unique among the owner''s carriers.';
comment on column tandem.peering_group.priority is '1 is best, 9 is worst.';
comment on column tandem.peering_group.enabled is 'A disabled carrier gets no calls, and calls from it are nobody''s.';
comment on column tandem.peering_group.tariff_id is 'The carrier''s deck: what it charges the owner.';
comment on column tandem.peering_group.rewrite_set_id is 'Rewrite rules of servers that name none; null = none.';
comment on column tandem.peering_group.created_at is 'When the row was made.';
create index peering_group_by_tariff on tandem.peering_group(tariff_id);

create table tandem.peering_server (
  id             bigint generated always as identity primary key,
  group_id       bigint not null references tandem.peering_group on delete cascade,
  name           tandem.label not null,
  address        inet not null
                 constraint address_is_one_host
                 check (masklen(address) = case family(address) when 4 then 32 else 128 end
                        and tandem.is_source_network(address)),
  port           integer not null default 5060 constraint port_is_1_to_65535 check (port between 1 and 65535),
  transport      text not null default 'udp' constraint transport_is_known check (transport in ('udp', 'tcp', 'tls')),
  weight         integer not null default 10 constraint weight_is_1_to_127 check (weight between 1 and 127),
  enabled        boolean not null default true,
  rewrite_set_id bigint references tandem.rewrite_set,
  aliases        cidr[] not null default '{}',
  created_at     timestamptz not null default now(),
  constraint server_name_is_unique_in_its_group unique (group_id, name),
  constraint server_socket_is_unique unique (address, port, transport)
);
comment on table tandem.peering_server is 'One server of a carrier: calls go to it, and calls from its address are the carrier''s.';
comment on column tandem.peering_server.id is 'Key; named in traces and CDRs.';
comment on column tandem.peering_server.group_id is 'The carrier.';
comment on column tandem.peering_server.name is 'Unique in the group.';
comment on column tandem.peering_server.address is 'IP address; an address belongs to one group only.';
comment on column tandem.peering_server.port is 'Port that calls are sent to.';
comment on column tandem.peering_server.transport is 'Transport of calls to it; calls from it may use any.';
comment on column tandem.peering_server.weight is 'Share of the calls among servers that are otherwise equal.';
comment on column tandem.peering_server.enabled is 'A disabled server gets no calls, and calls from it are nobody''s.';
comment on column tandem.peering_server.rewrite_set_id is 'Own rewrite rules; null = the group''s.';
comment on column tandem.peering_server.aliases is 'Further networks that its calls come from.';
comment on column tandem.peering_server.created_at is 'When the row was made.';

create function tandem.server_networks(address inet, aliases cidr[]) returns setof cidr
language sql immutable
as $$
  select address::cidr union select unnest(aliases)
$$;
comment on function tandem.server_networks is 'Every network that a server''s calls come from: its address, then its aliases, once each.';

create function tandem.check_server() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  taken record;
begin
  select network into taken from tandem.server_networks(new.address, new.aliases) as network
   where not tandem.is_source_network(network);
  if found then
    raise check_violation using message = format('server %L: %s is too wide, or no plain network, to identify a carrier', new.name, taken.network);
  end if;
  perform pg_advisory_xact_lock(hashtextextended('tandem.peering_server', 0));  -- arrays have no unique index
  select s.id, s.name, g.name as group_name, mine as network into taken
    from tandem.peering_server s
    join tandem.peering_group g on g.id = s.group_id
    cross join tandem.server_networks(new.address, new.aliases) as mine
   where s.group_id <> new.group_id and s.id <> new.id
     and mine in (select tandem.server_networks(s.address, s.aliases))
   limit 1;
  if found then
    raise unique_violation using message = format('server %L: %s belongs to server %s %L of group %L already; an address belongs to one group only',
      new.name, taken.network, taken.id, taken.name, taken.group_name);
  end if;
  return new;
end $$;
comment on function tandem.check_server is 'Trigger: networks are narrow enough, and no two groups share one.';
create trigger check_server before insert or update on tandem.peering_server
  for each row execute function tandem.check_server();
create trigger check_reach_rewrite_set before insert or update on tandem.peering_server
  for each row execute function tandem.check_reach('rewrite_set_id', 'rewrite_set');
create trigger check_reach_rewrite_set before insert or update on tandem.peering_group
  for each row execute function tandem.check_reach('rewrite_set_id', 'rewrite_set');

create table tandem.peering_rule (
  id             bigint generated always as identity primary key,
  group_id       bigint not null,
  account_id     bigint not null,
  callee_prefix  text collate "C" not null default ''
                 constraint callee_prefix_is_up_to_15_digits check (callee_prefix ~ '^([1-9][0-9]{0,14})?$'),
  callee_pattern tandem.pattern not null default '',
  caller_pattern tandem.pattern not null default '',
  stopper        boolean not null default false,
  enabled        boolean not null default true,
  created_at     timestamptz not null default now(),
  constraint peering_rule_is_not_said_twice unique (group_id, callee_prefix, callee_pattern, caller_pattern),
  constraint peering_rule_belongs_to_the_owner_of_its_group
    foreign key (group_id, account_id) references tandem.peering_group (id, account_id) on delete cascade
);
comment on table tandem.peering_rule is 'Which calls a carrier takes; without any rule it takes none.';
comment on column tandem.peering_rule.id is 'Key; named in traces.';
comment on column tandem.peering_rule.group_id is 'The carrier.';
comment on column tandem.peering_rule.account_id is
  'Owner of the carrier, set by a trigger; it stands here because a rule that goes with its carrier must still name its key in Redis.';
comment on column tandem.peering_rule.callee_prefix is 'Beginning of the called number, empty = any; rules:<account>:<prefix> in Redis.';
comment on column tandem.peering_rule.callee_pattern is 'Searched in sip:<digits>@…; empty = any.';
comment on column tandem.peering_rule.caller_pattern is 'Searched in the caller''s URI; empty = any.';
comment on column tandem.peering_rule.stopper is 'When this rule matches, shorter prefixes are not considered.';
comment on column tandem.peering_rule.enabled is 'A disabled rule matches nothing.';
comment on column tandem.peering_rule.created_at is 'When the row was made.';
create index peering_rule_by_prefix on tandem.peering_rule(account_id, callee_prefix);

create function tandem.set_rule_owner() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  new.account_id := coalesce((select g.account_id from tandem.peering_group g where g.id = new.group_id), 0);  -- 0: refused by the foreign key
  return new;
end $$;
comment on function tandem.set_rule_owner is 'Trigger: a rule belongs to the owner of its group, whatever the statement says.';
create trigger set_rule_owner before insert or update on tandem.peering_rule
  for each row execute function tandem.set_rule_owner();

create table tandem.inbound_rule (
  id         bigint generated always as identity primary key,
  group_id   bigint not null references tandem.peering_group on delete cascade,
  priority   integer not null constraint priority_is_1_to_9999 check (priority between 1 and 9999),
  field      text not null constraint field_is_known check (field in ('from', 'to', 'ruri', 'pai')),
  part       text not null constraint part_is_known check (part in ('user', 'domain', 'uri')),
  pattern    tandem.pattern not null constraint an_inbound_rule_has_a_pattern check (pattern <> ''),
  code       integer constraint reject_code_is_400_to_699 check (code between 400 and 699),
  phrase     text constraint phrase_is_1_to_64_printable_characters check (phrase ~ '^[^[:cntrl:]]{1,64}$'),
  enabled    boolean not null default true,
  created_at timestamptz not null default now(),
  constraint reject_code_and_phrase_come_together check ((code is null) = (phrase is null)),
  constraint inbound_rule_priority_is_unique_in_its_group unique (group_id, priority)
);
comment on table tandem.inbound_rule is 'A filter on INVITEs from a carrier: every enabled rule must match.';
comment on column tandem.inbound_rule.id is 'Key; named in traces.';
comment on column tandem.inbound_rule.group_id is 'The carrier.';
comment on column tandem.inbound_rule.priority is '1 is tried first; the first rule that fails decides.';
comment on column tandem.inbound_rule.field is 'Which header is looked at: from, to, ruri, pai.';
comment on column tandem.inbound_rule.part is 'Which part of its URI: user, domain, or the whole uri.';
comment on column tandem.inbound_rule.pattern is 'Must be found there.';
comment on column tandem.inbound_rule.code is 'SIP code when it is not found; null = the carrier is passed over instead.';
comment on column tandem.inbound_rule.phrase is 'Reason phrase with the code.';
comment on column tandem.inbound_rule.enabled is 'A disabled rule is not asked.';
comment on column tandem.inbound_rule.created_at is 'When the row was made.';

create table tandem.emergency_route (
  id         bigint generated always as identity primary key,
  domain     text not null default '',
  number     text not null constraint emergency_number_is_2_to_8_digits check (number ~ '^[0-9]{2,8}$'),
  group_ids  bigint[] not null
             constraint emergency_groups_are_1_to_8_distinct
             check (cardinality(group_ids) between 1 and 8 and tandem.all_distinct(group_ids)),
  created_at timestamptz not null default now(),
  constraint emergency_number_is_unique_in_its_domain unique (domain, number)
);
comment on table tandem.emergency_route is 'Emergency numbers, as dialled, and the carriers that take them.';
comment on column tandem.emergency_route.id is 'Key.';
comment on column tandem.emergency_route.domain is 'SIP domain of the caller; empty = everywhere.';
comment on column tandem.emergency_route.number is 'As dialled: 112, 911 ….';
comment on column tandem.emergency_route.group_ids is 'Carriers to try, in this order.';
comment on column tandem.emergency_route.created_at is 'When the row was made.';

create function tandem.check_emergency_route() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  missing bigint;
begin
  perform from tandem.peering_group g where g.id = any (new.group_ids) order by g.id for key share;
  select id into missing from unnest(new.group_ids) as id where id not in (select g.id from tandem.peering_group g) limit 1;
  if found then
    raise foreign_key_violation using message = format('emergency number %s: there is no peering group %s', new.number, missing);
  end if;
  if new.domain <> '' then
    perform from tandem.sip_domain d where d.name = new.domain for key share;
    if not found then
      raise foreign_key_violation using message = format('emergency number %s: there is no SIP domain %L', new.number, new.domain);
    end if;
  end if;
  return new;
end $$;
comment on function tandem.check_emergency_route is 'Trigger: its domain and groups exist.';
create trigger check_emergency_route before insert or update on tandem.emergency_route
  for each row execute function tandem.check_emergency_route();

create function tandem.keep_emergency_group() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  route record;
begin
  select r.number, r.domain into route from tandem.emergency_route r where old.id = any (r.group_ids) limit 1;
  if found then
    raise foreign_key_violation using message =
      format('peering group %s %L takes the emergency number %s and cannot be deleted', old.id, old.name, route.number);
  end if;
  return null;
end $$;
comment on function tandem.keep_emergency_group is 'Trigger: a carrier of emergency calls is not deleted under them.';
create trigger keep_emergency_group after delete on tandem.peering_group
  for each row execute function tandem.keep_emergency_group();

create function tandem.keep_emergency_domain() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' then
    update tandem.emergency_route r set domain = new.name where r.domain = old.name;
  elsif exists (select from tandem.emergency_route r where r.domain = old.name) then
    raise foreign_key_violation using message = format('SIP domain %L has emergency numbers of its own and cannot be deleted', old.name);
  end if;
  return null;
end $$;
comment on function tandem.keep_emergency_domain is 'Trigger: emergency numbers follow a renamed domain and hold a deleted one.';
create trigger keep_emergency_domain_renamed after update of name on tandem.sip_domain
  for each row when (old.name <> new.name) execute function tandem.keep_emergency_domain();
create trigger keep_emergency_domain_deleted after delete on tandem.sip_domain
  for each row execute function tandem.keep_emergency_domain();

create trigger keep_owner before update of account_id on tandem.peering_group
  for each row when (old.account_id <> new.account_id) execute function tandem.keep_owner();

-- A function and not a view: no view may stand in the way of a migration.
create function tandem.borrowed() returns table (user_id bigint, owner_id bigint, what text, used text)
language sql stable
as $$
  select s.account_id, d.account_id, 'subscriber ' || s.username || '@' || d.name, 'domain'
    from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
  union all
  select s.account_id, w.account_id, 'subscriber ' || s.username, 'rewrite set ' || w.name
    from tandem.subscriber s join tandem.rewrite_set w on w.id = s.rewrite_set_id
  union all
  select d.account_id, w.account_id, 'domain ' || d.name, 'rewrite set ' || w.name
    from tandem.sip_domain d join tandem.rewrite_set w on w.id = d.rewrite_set_id
  union all
  select g.account_id, w.account_id, 'peering group ' || g.name, 'rewrite set ' || w.name
    from tandem.peering_group g join tandem.rewrite_set w on w.id = g.rewrite_set_id
  union all
  select g.account_id, w.account_id, 'server ' || s.name, 'rewrite set ' || w.name
    from tandem.peering_server s
    join tandem.peering_group g on g.id = s.group_id
    join tandem.rewrite_set w on w.id = s.rewrite_set_id
$$;
comment on function tandem.borrowed is 'What accounts use of themselves and of accounts above them: what a move must not tear apart.';

create function tandem.check_move() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  torn record;
begin
  with recursive below as (
    select new.id as id
    union all
    select a.id from tandem.account a join below on a.parent_id = below.id
  )
  select b.* into torn from below join tandem.borrowed() b on b.user_id = below.id
   where not tandem.is_self_or_above(b.owner_id, b.user_id) limit 1;
  if found then
    raise check_violation using message = format(
      'account %s %L cannot move: the %s of its %s belongs to account %s, which would no longer be above it',
      new.id, new.name, torn.used, torn.what, torn.owner_id);
  end if;
  return null;
end $$;
comment on function tandem.check_move is 'Trigger: a moved account keeps above it what it and those below it use.';
create trigger check_move after update of parent_id on tandem.account
  for each row when (old.parent_id is distinct from new.parent_id) execute function tandem.check_move();
