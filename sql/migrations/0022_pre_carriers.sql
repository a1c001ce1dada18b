-- Servers by name, what they are sent and how, what their answers mean, and when a rule of a carrier holds.
set local role tandem_owner;

create function tandem.are_distinct_of(items text[], known text[]) returns boolean
language sql immutable strict
return items <@ known and tandem.all_distinct(items);
comment on function tandem.are_distinct_of is 'True when every item is a known one and none occurs twice.';

alter table tandem.peering_group
  add column share integer not null default 100 constraint share_is_1_to_1000 check (share between 1 and 1000),
  add column may_return boolean not null default false;
comment on column tandem.peering_group.share is 'Its part of the calls among carriers that are otherwise equal; percent where they sum to 100.';
comment on column tandem.peering_group.may_return is 'Whether calls that came from it may go back to it.';

alter table tandem.peering_server
  alter column address drop not null,
  add column host text constraint host_is_a_dns_name
    check (length(host) <= 253 and host ~ '^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?$'),
  add column socket text not null default '' constraint socket_is_transport_address_port
    check (socket ~ '^((udp|tcp|tls):([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]{2,45}\]):[1-9][0-9]{0,4})?$'),
  add column probe boolean not null default false,
  add column channels_max integer not null default 0 constraint channels_are_0_to_100000 check (channels_max between 0 and 100000),
  add column cps_max integer not null default 0 constraint cps_is_0_to_10000 check (cps_max between 0 and 10000),
  add column ring_max_s integer not null default 0 constraint ring_is_0_to_180_s check (ring_max_s between 0 and 180),
  add column pdd_max_ms integer not null default 0 constraint pdd_is_0_to_60000_ms check (pdd_max_ms between 0 and 60000),
  add column redirects boolean not null default false,
  add column ported text not null default 'number' constraint ported_is_known check (ported in ('number', 'routing', 'rn')),
  add column is_trusted boolean not null default true,
  add column identity_shown text not null default 'caller' constraint identity_shown_is_known check (identity_shown in ('caller', 'own')),
  add column identity_headers text[] not null default '{pai,privacy,diversion}'
    constraint identity_headers_are_known check (tandem.are_distinct_of(identity_headers, '{pai,ppi,rpid,privacy,diversion}')),
  add column identity_host text not null default '' constraint identity_host_is_a_host
    check (length(identity_host) <= 253 and identity_host ~ '^([a-z0-9.-]+|\[[0-9a-f:.]+\])?$'),
  add column login_username text constraint login_username_is_1_to_128_printable_characters
    check (login_username ~ '^[^[:cntrl:]":]{1,128}$'),
  add column login_realm text constraint login_realm_is_1_to_128_printable_characters check (login_realm ~ '^[^[:cntrl:]"\\]{1,128}$'),
  add column login_ha1 text constraint login_ha1_is_32_lower_case_hex check (login_ha1 ~ '^[0-9a-f]{32}$'),
  add column login_register_s integer not null default 0
    constraint login_register_is_0_or_30_to_86400_s check (login_register_s = 0 or login_register_s between 30 and 86400),
  add column login_contact_user text not null default ''
    constraint login_contact_user_is_up_to_64_safe_characters check (login_contact_user ~ '^[A-Za-z0-9._+-]{0,64}$'),
  add constraint a_server_has_an_address_or_a_name check (num_nonnulls(address, host) = 1),
  add constraint server_name_and_port_are_unique unique (host, port, transport),
  add constraint socket_has_the_transport_of_its_server check (socket = '' or split_part(socket, ':', 1) = transport),
  add constraint a_login_is_whole check (num_nonnulls(login_username, login_realm, login_ha1) in (0, 3)),
  add constraint registering_needs_a_login check (login_register_s = 0 or login_username is not null);
comment on column tandem.peering_server.address is 'IP address; null = it has a name. An address belongs to one group only.';
comment on column tandem.peering_server.host is 'DNS name, resolved outside of the workers into peering_server_address; null = it has an address.';
comment on column tandem.peering_server.socket is 'Local socket that calls to it leave from, udp:<address>:<port>; empty = the stack chooses.';
comment on column tandem.peering_server.probe is 'Whether it is asked by OPTIONS how it is.';
comment on column tandem.peering_server.channels_max is 'Calls at a time that one node sends it; 0 = any number.';
comment on column tandem.peering_server.cps_max is 'New calls a second that one node sends it; 0 = any number.';
comment on column tandem.peering_server.ring_max_s is 'How long it may ring; 0 = as the node says.';
comment on column tandem.peering_server.pdd_max_ms is 'How long it may say nothing; 0 = as the node says.';
comment on column tandem.peering_server.redirects is 'Whether its 3xx answers are followed.';
comment on column tandem.peering_server.ported is
  'What is called there for a ported number: number, its routing number, or the number with the routing number beside it (rn).';
comment on column tandem.peering_server.is_trusted is 'Whether what it asserts of callers is believed, and hidden numbers are told to it.';
comment on column tandem.peering_server.identity_shown is 'What the From says: the caller, or the line''s own number.';
comment on column tandem.peering_server.identity_headers is 'Which of pai, ppi, rpid, privacy, diversion it is sent.';
comment on column tandem.peering_server.identity_host is 'Host of these URIs; empty = the caller''s domain.';
comment on column tandem.peering_server.login_username is 'Our user name there; null = it asks for no password.';
comment on column tandem.peering_server.login_realm is 'Realm in which that holds.';
comment on column tandem.peering_server.login_ha1 is 'md5(username:realm:password), hex; not audited.';
comment on column tandem.peering_server.login_register_s is 'We register for so long with it; 0 = not at all.';
comment on column tandem.peering_server.login_contact_user is 'User part of the Contact that we register; empty = the user name.';

create table tandem.peering_server_address (
  server_id   bigint not null references tandem.peering_server on delete cascade,
  address     inet not null
              constraint address_is_one_host
              check (masklen(address) = case family(address) when 4 then 32 else 128 end and tandem.is_source_network(address)),
  resolved_at timestamptz not null default now(),
  primary key (server_id, address)
);
comment on table tandem.peering_server_address is
  'What a server''s name stands for: calls from each of them are the carrier''s, calls go to the lowest, so that it changes seldom.';
comment on column tandem.peering_server_address.server_id is 'A server with a name.';
comment on column tandem.peering_server_address.address is 'IP address; belongs to one group only.';
comment on column tandem.peering_server_address.resolved_at is 'When it was first found.';

create or replace function tandem.server_networks(address inet, aliases cidr[]) returns setof cidr
language sql immutable
as $$
  select address::cidr where address is not null union select unnest(aliases)
$$;
comment on function tandem.server_networks is 'Every network that a server''s calls come from as it is written: its address, then its aliases, once each.';

create function tandem.networks_of_server(of_server bigint, address inet, aliases cidr[]) returns setof cidr
language sql stable
as $$
  select tandem.server_networks(address, aliases)
  union
  select a.address::cidr from tandem.peering_server_address a where a.server_id = of_server
$$;
comment on function tandem.networks_of_server is 'Every network that a server''s calls come from, those included that its name stands for, once each.';

create function tandem.refuse_shared_network(of_group bigint, of_server bigint, called text, networks cidr[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  taken record;
begin
  perform pg_advisory_xact_lock(hashtextextended('tandem.peering_server', 0));  -- arrays have no unique index
  select s.id, s.name, g.name as group_name, theirs as network into taken
    from tandem.peering_server s
    join tandem.peering_group g on g.id = s.group_id
    cross join tandem.networks_of_server(s.id, s.address, s.aliases) as theirs
   where s.group_id <> of_group and s.id <> of_server and theirs = any (networks)
   limit 1;
  if found then
    raise unique_violation using message = format('server %L: %s belongs to server %s %L of group %L already; an address belongs to one group only',
      called, taken.network, taken.id, taken.name, taken.group_name);
  end if;
end $$;
comment on function tandem.refuse_shared_network is 'Error when one of these networks is a server''s of another group.';

create or replace function tandem.check_server() returns trigger
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
  perform tandem.refuse_shared_network(new.group_id, new.id, new.name, array(select tandem.networks_of_server(new.id, new.address, new.aliases)));
  return new;
end $$;
comment on function tandem.check_server is 'Trigger: networks are narrow enough, and no two groups share one.';

create function tandem.check_server_address() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  server tandem.peering_server;
begin
  select * into server from tandem.peering_server s where s.id = new.server_id;
  if server.host is null then
    raise check_violation using message = format('server %s has no name that could stand for %s', new.server_id, host(new.address));
  end if;
  perform tandem.refuse_shared_network(server.group_id, server.id, server.name, array[new.address::cidr]);
  return new;
end $$;
comment on function tandem.check_server_address is 'Trigger: what a name stands for is no other group''s.';
create trigger check_server_address before insert or update on tandem.peering_server_address
  for each row execute function tandem.check_server_address();

create function tandem.forget_addresses() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from tandem.peering_server_address a where a.server_id = new.id;
  return null;
end $$;
comment on function tandem.forget_addresses is 'Trigger: another name does not stand for the addresses of the former.';
create trigger forget_addresses after update of host on tandem.peering_server
  for each row when (old.host is distinct from new.host) execute function tandem.forget_addresses();

create table tandem.hunt_rule (
  server_id   bigint not null references tandem.peering_server on delete cascade,
  status      integer not null constraint status_is_300_to_699 check (status between 300 and 699),
  action      text not null constraint action_is_stop_or_continue check (action in ('stop', 'continue')),
  told_status integer constraint told_status_is_400_to_699 check (told_status between 400 and 699),
  told_phrase text constraint told_phrase_is_1_to_64_printable_characters check (told_phrase ~ '^[^[:cntrl:]]{1,64}$'),
  created_at  timestamptz not null default now(),
  primary key (server_id, status),
  constraint told_status_and_phrase_come_together check ((told_status is null) = (told_phrase is null))
);
comment on table tandem.hunt_rule is 'What a server''s final answer means for the hunt, where that differs from the default (kemi/core/hunt.py).';
comment on column tandem.hunt_rule.server_id is 'The server.';
comment on column tandem.hunt_rule.status is 'Its SIP status.';
comment on column tandem.hunt_rule.action is 'stop: the caller is told; continue: the next server is tried.';
comment on column tandem.hunt_rule.told_status is 'What the caller is told where the hunt ends so; null = as by default.';
comment on column tandem.hunt_rule.told_phrase is 'Reason phrase with it.';
comment on column tandem.hunt_rule.created_at is 'When the row was made.';

alter table tandem.peering_rule
  add column description text not null default '' constraint description_is_up_to_200_printable_characters check (description ~ '^[^[:cntrl:]]{0,200}$'),
  add column block boolean not null default false,
  add column valid_from timestamptz constraint rule_begins_between_2000_and_2100
    check (valid_from >= '2000-01-01 00:00Z' and valid_from < '2100-01-01 00:00Z'),
  add column valid_to timestamptz constraint rule_ends_between_2000_and_2100
    check (valid_to >= '2000-01-01 00:00Z' and valid_to < '2100-01-01 00:00Z'),
  add column time_set_id bigint references tandem.time_set,
  add constraint a_rule_ends_after_it_begins check (valid_from < valid_to),
  add constraint a_rule_blocks_or_stops check (not (block and stopper)),
  drop constraint peering_rule_is_not_said_twice,
  add constraint peering_rule_is_not_said_twice
    unique nulls not distinct (group_id, callee_prefix, callee_pattern, caller_pattern, block, valid_from, valid_to, time_set_id);
comment on column tandem.peering_rule.description is 'For people.';
comment on column tandem.peering_rule.block is
  'When this rule holds, no carrier of its owner, or of an account above, takes such a call by this prefix or a shorter one.';
comment on column tandem.peering_rule.valid_from is 'It holds from then on; null = since ever.';
comment on column tandem.peering_rule.valid_to is 'It holds until then; null = for ever.';
comment on column tandem.peering_rule.time_set_id is 'It holds only then; null = always.';
create index peering_rule_by_time_set on tandem.peering_rule(time_set_id) where time_set_id is not null;
create trigger use_own_time_set before insert or update on tandem.peering_rule  -- by name after set_rule_owner
  for each row execute function tandem.check_reach('time_set_id', 'time_set');

create or replace function tandem.borrowed() returns table (user_id bigint, owner_id bigint, what text, used text)
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
  union all
  select r.account_id, t.account_id, 'peering rule ' || r.id, 'time set ' || t.name
    from tandem.peering_rule r join tandem.time_set t on t.id = r.time_set_id
  union all
  select b.account_id, t.account_id, 'barring level ' || b.name, 'time set ' || t.name
    from tandem.barring_level b join tandem.time_set t on t.id = b.time_set_id
  union all
  select s.account_id, b.account_id, 'subscriber ' || s.username, 'barring level ' || b.name
    from tandem.subscriber s join tandem.barring_level b on b.id in (s.barring_id, s.own_barring_id)
  union all
  select a.id, b.account_id, 'account ' || a.name, 'barring level ' || b.name
    from tandem.account a join tandem.barring_level b on b.id in (a.barring_id, a.own_barring_id)
$$;
comment on function tandem.borrowed is 'What accounts use of themselves and of accounts above them: what a move must not tear apart.';

select tandem.refeed_outbox('peering_group',
  'peering_group', $q$ select 'pg:' || r.id $q$,
  'account', $q$ select 'acct:' || r.account_id where $1 <> 'UPDATE' $q$,  -- owns_carriers; a group keeps its owner
  'sources', $q$ select 'src:' || n from tandem.peering_server s, tandem.networks_of_server(s.id, s.address, s.aliases) as n
                  where s.group_id = r.id $q$,
  'masks', $q$ select 'masks' $q$,
  'peers', $q$ select 'peers' $q$);
select tandem.refeed_outbox('peering_server',
  'peering_group', $q$ select 'pg:' || r.group_id $q$,
  'sources', $q$ select 'src:' || n from tandem.networks_of_server(r.id, r.address, r.aliases) as n $q$,
  'masks', $q$ select 'masks' $q$,
  'peers', $q$ select 'peers' $q$);
select tandem.feed_outbox('peering_server_address',
  'peering_group', $q$ select 'pg:' || s.group_id from tandem.peering_server s where s.id = r.server_id $q$,
  'sources', $q$ select 'src:' || r.address::cidr $q$,
  'masks', $q$ select 'masks' $q$);
select tandem.feed_outbox('hunt_rule',
  'peering_group', $q$ select 'pg:' || s.group_id from tandem.peering_server s where s.id = r.server_id $q$);

select tandem.feed_audit('hunt_rule', $e$r.server_id || '/' || r.status$e$,
  'select g.account_id from tandem.peering_server s join tandem.peering_group g on g.id = s.group_id where s.id = r.server_id');

grant select on tandem.peering_server_address, tandem.hunt_rule to tandem_sync, tandem_settle, tandem_tool;
grant insert, update, delete on tandem.peering_server_address to tandem_sync;
grant insert, update, delete on tandem.hunt_rule to tandem_tool;
