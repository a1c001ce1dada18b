-- Ported numbers, what calls are expected to last, and emergency numbers by region.
set local role tandem_owner;

alter table tandem.rewrite_rule
  drop constraint side_is_known,
  add constraint side_is_known
    check (side in ('caller_in', 'callee_in', 'caller_out', 'callee_out', 'caller_lnp', 'callee_lnp'));
comment on column tandem.rewrite_rule.side is
  'Caller''s or callee''s number; in: towards E.164, out: towards the next hop, lnp: instead of out, for a call by a routing number.';

create table tandem.ported_number (
  digits     tandem.prefix primary key,
  routing    tandem.prefix not null,
  group_id   bigint constraint carrier_of_a_ported_number_exists references tandem.peering_group,
  created_at timestamptz not null default now(),
  constraint a_port_changes_something check (routing <> digits or group_id is not null)
);
comment on table tandem.ported_number is 'Numbers that another network serves than the one that they were given to; the longest match counts.';
comment on column tandem.ported_number.digits is 'A number, or the beginning of some; lnp:<digits> in Redis.';
comment on column tandem.ported_number.routing is 'Takes the place of the digits where a carrier is chosen: the routing number, or its beginning.';
comment on column tandem.ported_number.group_id is 'The only carrier that takes it; null = any.';
comment on column tandem.ported_number.created_at is 'When the row was made.';
create index ported_number_by_length on tandem.ported_number(length(digits));
create index ported_number_by_group on tandem.ported_number(group_id) where group_id is not null;

create table tandem.destination (
  prefix     tandem.prefix primary key,
  expected_s integer not null constraint expected_is_1_s_to_4_hours check (expected_s between 1 and 14400),
  created_at timestamptz not null default now()
);
comment on table tandem.destination is 'How long an answered call is expected to last, by the longest prefix of the called number: prices are compared for that.';
comment on column tandem.destination.prefix is 'Beginning of the called number; dest:<its first two digits> in Redis.';
comment on column tandem.destination.expected_s is 'Expected talk time.';
comment on column tandem.destination.created_at is 'When the row was made.';

create function tandem.destination_keys(prefix text) returns setof text
language sql immutable strict
as $$
  select 'dest:' || left(prefix, 2) where length(prefix) > 1
  union all
  select 'dest:' || prefix || digit from generate_series(0, 9) as digit where length(prefix) = 1
$$;
comment on function tandem.destination_keys is 'The records that a prefix stands in: one, or ten of a single digit.';

alter table tandem.emergency_route
  add column region text not null default '' constraint region_is_a_word check (region ~ '^[A-Za-z0-9._-]{0,32}$'),
  add column routing text not null default '' constraint routing_is_up_to_32_dialable_characters check (routing ~ '^\+?[0-9A-Za-z*#._-]{0,32}$'),
  add constraint an_emergency_number_is_for_a_domain_or_a_region check (domain = '' or region = ''),
  drop constraint emergency_number_is_unique_in_its_domain,
  add constraint emergency_number_is_unique_in_its_domain unique (domain, region, number);
comment on column tandem.emergency_route.domain is 'SIP domain of the caller, before its region; empty = of every domain.';
comment on column tandem.emergency_route.region is 'Region of the caller; empty = everywhere, where neither domain nor region says otherwise.';
comment on column tandem.emergency_route.routing is 'What is called instead; empty = the number itself.';

select tandem.feed_outbox('ported_number',
  'ported_number', $q$ select 'lnp:' || r.digits $q$,
  'ported_lengths', $q$ select 'lnplens' $q$);
select tandem.feed_outbox('destination',
  'destinations', $q$ select tandem.destination_keys(r.prefix) $q$);
select tandem.feed_audit('ported_number', 'r.digits', 'null');
select tandem.feed_audit('destination', 'r.prefix', 'null');

grant select on tandem.ported_number, tandem.destination to tandem_sync, tandem_settle, tandem_tool;
grant insert, update, delete on tandem.ported_number, tandem.destination to tandem_tool;
