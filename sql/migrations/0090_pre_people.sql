-- Whom a number reaches beyond a single line: users, groups, callflows, extensions; forwards, trunks and media servers.
--
-- A destination is a set of columns of which at most one is set: subscriber, user, group, callflow, E.164 number, media server (with the
-- user part that is called there). Lines, users, groups and callflows are of the same account, always; a media server, as a time set,
-- may be of an account above.
set local role tandem_owner;

create table tandem.user (
  id         bigint generated always as identity primary key,
  account_id bigint not null references tandem.account,
  name       tandem.label not null,
  status     text not null default 'active'
             constraint status_is_known check (status in ('active', 'suspended', 'closed')),
  dnd        boolean not null default false,
  ring_s     integer not null default 0 constraint ring_is_0_to_300_s check (ring_s between 0 and 300),
  calls_max  integer not null default 0 constraint calls_are_0_to_10000 check (calls_max between 0 and 10000),
  created_at timestamptz not null default now(),
  constraint user_name_is_unique_in_its_account unique (account_id, name),
  constraint user_account unique (id, account_id)
);
comment on table tandem.user is 'A person of an account; calling it rings all its lines at once.';
comment on column tandem.user.id is 'Key; user:<id> in Redis.';
comment on column tandem.user.account_id is 'Whose user it is; its lines are of the same account.';
comment on column tandem.user.name is 'Unique in its account, whatever its case. A name of one word can be dialled inside the account: ext:<account>:<name>.';
comment on column tandem.user.status is 'active -> suspended -> active, or closed.';
comment on column tandem.user.dnd is 'It takes no calls.';
comment on column tandem.user.ring_s is 'How long its lines ring; 0 = as the node says.';
comment on column tandem.user.calls_max is 'Calls at a time of all its lines together; 0 = any number.';
comment on column tandem.user.created_at is 'When the row was made.';
create unique index user_name_is_unique_whatever_its_case on tandem.user(account_id, lower(name));

create table tandem.ring_group (
  id         bigint generated always as identity primary key,
  account_id bigint not null references tandem.account,
  name       tandem.label not null,
  policy     text not null default 'parallel'
             constraint policy_is_known check (policy in ('parallel', 'serial', 'random', 'circular')),
  member_s   integer not null default 0 constraint member_rings_0_to_300_s check (member_s between 0 and 300),
  total_s    integer not null default 0 constraint total_is_0_to_300_s check (total_s between 0 and 300),
  skip_busy  boolean not null default false,
  created_at timestamptz not null default now(),
  constraint group_name_is_unique_in_its_account unique (account_id, name),
  constraint ring_group_account unique (id, account_id)
);
comment on table tandem.ring_group is 'Lines and users that are called together or in turn.';
comment on column tandem.ring_group.id is 'Key; grp:<id> in Redis.';
comment on column tandem.ring_group.account_id is 'Whose group it is; its members are of the same account.';
comment on column tandem.ring_group.name is 'Unique among the account''s groups.';
comment on column tandem.ring_group.policy is
  'parallel: all at once; serial: in order; random: in another order each call; circular: each call begins with the next member.';
comment on column tandem.ring_group.member_s is 'How long each rings when they are called in turn; 0 = as the node says.';
comment on column tandem.ring_group.total_s is 'How long all of them ring together; 0 = as the node says.';
comment on column tandem.ring_group.skip_busy is 'Whether members that are in a call are passed over: the calls of each are counted then.';
comment on column tandem.ring_group.created_at is 'When the row was made.';

create table tandem.ring_group_member (
  id            bigint generated always as identity primary key,
  ring_group_id bigint not null,
  account_id    bigint not null,
  position      integer not null constraint position_is_1_to_9999 check (position between 1 and 9999),
  ring_s        integer not null default 0 constraint ring_is_0_to_300_s check (ring_s between 0 and 300),
  created_at    timestamptz not null default now(),
  constraint member_position_is_unique_in_its_group unique (ring_group_id, position),
  constraint member_belongs_to_a_group foreign key (ring_group_id, account_id)
    references tandem.ring_group (id, account_id) on delete cascade
);
comment on table tandem.ring_group_member is 'A line or a user that a group calls; at most 64 in a group.';
comment on column tandem.ring_group_member.id is 'Key.';
comment on column tandem.ring_group_member.ring_group_id is 'The group.';
comment on column tandem.ring_group_member.account_id is 'The group''s account, set by a trigger.';
comment on column tandem.ring_group_member.position is 'Its place where they are called in order; there may be gaps.';
comment on column tandem.ring_group_member.ring_s is 'How long it rings; 0 = as the group says.';
comment on column tandem.ring_group_member.created_at is 'When the row was made.';

create table tandem.media_server (
  id         bigint generated always as identity primary key,
  account_id bigint not null references tandem.account,
  name       tandem.label not null,
  address    inet not null
             constraint address_is_one_host
             check (masklen(address) = case family(address) when 4 then 32 else 128 end and tandem.is_source_network(address))
             constraint address_is_neither_multicast_nor_reserved check (not address <<= any ('{0.0.0.0/8,224.0.0.0/3,::/128,ff00::/8}'::inet[])),
  port       integer not null default 0 constraint port_is_0_to_65535 check (port between 0 and 65535),
  transport  text not null default 'udp' constraint transport_is_udp_or_tcp check (transport in ('udp', 'tcp')),
  created_at timestamptz not null default now(),
  constraint media_server_name_is_unique_in_its_account unique (account_id, name)
);
comment on table tandem.media_server is 'Where announcements and voicemail boxes live.';
comment on column tandem.media_server.id is 'Key; media:<id> in Redis.';
comment on column tandem.media_server.account_id is 'Owner; usable by it and by all below it.';
comment on column tandem.media_server.name is 'Unique among the owner''s media servers.';
comment on column tandem.media_server.address is 'IP address that calls are sent to.';
comment on column tandem.media_server.port is '0 = the transport''s own.';
comment on column tandem.media_server.transport is 'udp or tcp.';
comment on column tandem.media_server.created_at is 'When the row was made.';
create trigger keep_owner before update of account_id on tandem.media_server
  for each row when (old.account_id <> new.account_id) execute function tandem.keep_owner();

create table tandem.callflow (
  id         bigint generated always as identity primary key,
  account_id bigint not null references tandem.account,
  name       tandem.label not null,
  created_at timestamptz not null default now(),
  constraint callflow_name_is_unique_in_its_account unique (account_id, name),
  constraint callflow_account unique (id, account_id)
);
comment on table tandem.callflow is 'Literal steps: it does what they say and nothing else; after the last one the call has failed.';
comment on column tandem.callflow.id is 'Key; flow:<id> in Redis.';
comment on column tandem.callflow.account_id is 'Whose callflow it is; what its steps reach is of the same account.';
comment on column tandem.callflow.name is 'Unique among the account''s callflows.';
comment on column tandem.callflow.created_at is 'When the row was made.';

create table tandem.callflow_step (
  id          bigint generated always as identity primary key,
  callflow_id bigint not null,
  account_id  bigint not null,
  position    integer not null constraint position_is_1_to_9999 check (position between 1 and 9999),
  kind        text not null
              constraint step_kind_is_known check (kind in ('ring', 'forward', 'flow', 'media', 'reject', 'time', 'caller')),
  ring_s      integer not null default 0 constraint ring_is_0_to_300_s check (ring_s between 0 and 300),
  time_set_id bigint references tandem.time_set,
  callers     text[] not null default '{}'
              constraint callers_are_shell_patterns_over_digits
              check (tandem.are_number_globs(callers, true) and not tandem.has_empty_range(callers)),
  otherwise   integer,
  status      integer constraint status_is_400_to_699_and_no_challenge check (status between 400 and 699 and status not in (401, 407)),
  phrase      text not null default '' constraint phrase_is_up_to_64_printable_ascii_characters check (phrase ~ '^[ -~]{0,64}$'),
  created_at  timestamptz not null default now(),
  constraint step_position_is_unique_in_its_callflow unique (callflow_id, position),
  constraint step_belongs_to_a_callflow foreign key (callflow_id, account_id)
    references tandem.callflow (id, account_id) on delete cascade,
  constraint otherwise_is_a_later_step check (otherwise > position)
);
comment on table tandem.callflow_step is 'One step of a callflow, in the order of positions; at most 64 in a callflow.';
comment on column tandem.callflow_step.id is 'Key.';
comment on column tandem.callflow_step.callflow_id is 'The callflow.';
comment on column tandem.callflow_step.account_id is 'The callflow''s account, set by a trigger.';
comment on column tandem.callflow_step.position is 'Its place; there may be gaps.';
comment on column tandem.callflow_step.kind is
  'ring: a line, user or group, unanswered the next step; forward: to a number, for good; flow: another callflow, for good; media: a media '
  'server, for good; reject: with a status; time: in the time set the next step, else otherwise; caller: one of callers the next step, else otherwise.';
comment on column tandem.callflow_step.ring_s is 'Of ring: how long; 0 = as the node says.';
comment on column tandem.callflow_step.time_set_id is 'Of time: the time set.';
comment on column tandem.callflow_step.callers is 'Of caller: shell patterns (* ? [0-9]) over E.164 digits, anonymous.';
comment on column tandem.callflow_step.otherwise is 'Of time and caller: position of the step when the condition does not hold.';
comment on column tandem.callflow_step.status is 'Of reject: SIP status.';
comment on column tandem.callflow_step.phrase is 'Of reject: reason phrase; empty = the status'' own.';
comment on column tandem.callflow_step.created_at is 'When the row was made.';

create table tandem.extension (
  id         bigint generated always as identity primary key,
  account_id bigint not null references tandem.account,
  dialled    text not null
             constraint extension_is_up_to_8_digits_or_a_lower_case_word check (dialled ~ '^([0-9*#]{1,8}|[a-z][a-z0-9._-]{0,63})$'),
  created_at timestamptz not null default now(),
  constraint extension_is_free_in_its_account unique (account_id, dialled)
);
comment on table tandem.extension is 'What lines of an account reach by a few digits or a word.';
comment on column tandem.extension.id is 'Key.';
comment on column tandem.extension.account_id is 'Whose lines dial it, and whose it reaches.';
comment on column tandem.extension.dialled is
  'As it is dialled; ext:<account>:<dialled> in Redis. Of digits only it also ends numbers of the account''s pilots: num:<pilot number><dialled>.';
comment on column tandem.extension.created_at is 'When the row was made.';

create table tandem.forward (
  id            bigint generated always as identity primary key,
  account_id    bigint not null,
  subscriber_id bigint,
  user_id       bigint,
  kind          text not null
                constraint forward_kind_is_known check (kind in ('always', 'busy', 'no_answer', 'timeout', 'unreachable')),
  priority      integer not null default 1 constraint priority_is_1_to_9999 check (priority between 1 and 9999),
  after_s       integer not null default 0 constraint after_is_0_to_300_s check (after_s between 0 and 300),
  time_set_id   bigint references tandem.time_set,
  callers       text[] not null default '{}'
                constraint callers_are_shell_patterns_over_digits
                check (tandem.are_number_globs(callers, true) and not tandem.has_empty_range(callers)),
  created_at    timestamptz not null default now(),
  constraint forward_priority_is_unique_for_its_subscriber unique (subscriber_id, kind, priority),
  constraint forward_priority_is_unique_for_its_user unique (user_id, kind, priority),
  constraint a_forward_is_of_a_subscriber_or_a_user check (num_nonnulls(subscriber_id, user_id) = 1),
  constraint a_timeout_has_after_s_of_1_or_more_and_other_kinds_have_none check ((kind = 'timeout') = (after_s > 0)),
  constraint forward_is_of_a_subscriber foreign key (subscriber_id, account_id) references tandem.subscriber (id, account_id) on delete cascade,
  constraint forward_is_of_a_user foreign key (user_id, account_id) references tandem.user (id, account_id) on delete cascade
);
comment on table tandem.forward is 'Where calls to a line or a user go instead, or afterwards; at most 16 for each.';
comment on column tandem.forward.id is 'Key; named in traces.';
comment on column tandem.forward.account_id is 'The account of the line or user, set by a trigger.';
comment on column tandem.forward.subscriber_id is 'Whose calls are forwarded: a line''s, where it is called itself.';
comment on column tandem.forward.user_id is 'Whose calls are forwarded: a user''s, where it is called itself.';
comment on column tandem.forward.kind is
  'always; busy; no_answer: it rang its time, or was declined; timeout: it rang after_s seconds; unreachable: no phone is there, or none answers.';
comment on column tandem.forward.priority is 'Of one kind the first whose conditions hold counts, 1 before 2.';
comment on column tandem.forward.after_s is 'Of timeout: how long it rings.';
comment on column tandem.forward.time_set_id is 'It holds only then; null = always.';
comment on column tandem.forward.callers is 'It holds only for these: shell patterns (* ? [0-9]) over E.164 digits, anonymous; empty = all.';
comment on column tandem.forward.created_at is 'When the row was made.';

create table tandem.trunk_place (
  id            bigint generated always as identity primary key,
  subscriber_id bigint not null references tandem.subscriber on delete cascade,
  address       inet not null
                constraint address_is_one_host
                check (masklen(address) = case family(address) when 4 then 32 else 128 end and tandem.is_source_network(address))
                constraint address_is_neither_multicast_nor_reserved check (not address <<= any ('{0.0.0.0/8,224.0.0.0/3,::/128,ff00::/8}'::inet[])),
  port          integer not null default 0 constraint port_is_0_to_65535 check (port between 0 and 65535),
  transport     text not null default 'udp' constraint transport_is_udp_or_tcp check (transport in ('udp', 'tcp')),
  priority      integer not null default 0 constraint priority_is_0_to_999 check (priority between 0 and 999),
  weight        integer not null default 1 constraint weight_is_0_to_1000 check (weight between 0 and 1000),
  created_at    timestamptz not null default now(),
  constraint place_is_not_said_twice unique (subscriber_id, address, port, transport)
);
comment on table tandem.trunk_place is 'Where an IP trunk takes calls; at most 32 for each.';
comment on column tandem.trunk_place.id is 'Key.';
comment on column tandem.trunk_place.subscriber_id is 'The trunk.';
comment on column tandem.trunk_place.address is 'IP address that calls are sent to.';
comment on column tandem.trunk_place.port is '0 = the transport''s own.';
comment on column tandem.trunk_place.transport is 'udp or tcp.';
comment on column tandem.trunk_place.priority is 'The lowest is tried first.';
comment on column tandem.trunk_place.weight is 'Share of calls among places of one priority.';
comment on column tandem.trunk_place.created_at is 'When the row was made.';

alter table tandem.subscriber
  add column kind text not null default 'line' constraint subscriber_kind_is_known check (kind in ('line', 'pilot', 'trunk', 'ip_trunk')),
  add column user_id bigint,
  add column dnd boolean not null default false,
  add column ring_s integer not null default 0 constraint ring_is_0_to_300_s check (ring_s between 0 and 300),
  add column calls_max integer not null default 0 constraint calls_are_0_to_10000 check (calls_max between 0 and 10000),
  add column calls_in_max integer not null default 0 constraint calls_in_are_0_to_10000 check (calls_in_max between 0 and 10000),
  add column calls_out_max integer not null default 0 constraint calls_out_are_0_to_10000 check (calls_out_max between 0 and 10000),
  add column did_in text not null default 'ruri' constraint did_is_in_the_request_uri_or_in_to check (did_in in ('ruri', 'to')),
  add column contacts_max integer not null default 0 constraint contacts_are_0_to_30 check (contacts_max between 0 and 30),
  add column expires_min_s integer not null default 0 constraint expires_min_is_0_to_86400_s check (expires_min_s between 0 and 86400),
  add column expires_max_s integer not null default 0 constraint expires_max_is_0_to_86400_s check (expires_max_s between 0 and 86400),
  add column register_from cidr[] not null default '{}'
    constraint register_from_are_up_to_64_networks check (cardinality(register_from) <= 64 and tandem.all_distinct(register_from)
                                                          and array_position(register_from, null) is null),
  add column digest text not null default '' constraint digest_is_known check (digest in ('', 'md5', 'sha256', 'both')),
  add constraint expires_min_is_not_above_its_max check (expires_max_s = 0 or expires_min_s <= expires_max_s),
  add constraint device_is_of_a_user_of_its_account foreign key (user_id, account_id)
    references tandem.user (id, account_id) on delete set null (user_id);
create index subscriber_by_user on tandem.subscriber(user_id) where user_id is not null;
create index subscriber_that_is_a_pilot on tandem.subscriber(account_id) where kind = 'pilot';
comment on column tandem.subscriber.kind is
  'line; pilot: its numbers with an extension of the account behind them reach that extension; trunk: a PBX that registers; ip_trunk: one at its places.';
comment on column tandem.subscriber.user_id is 'Whose device it is; null = nobody''s.';
comment on column tandem.subscriber.dnd is 'It takes no calls.';
comment on column tandem.subscriber.ring_s is 'How long it rings; 0 = as the node says.';
comment on column tandem.subscriber.calls_max is 'Calls at a time; 0 = any number.';
comment on column tandem.subscriber.calls_in_max is 'Calls to it at a time; 0 = any number.';
comment on column tandem.subscriber.calls_out_max is 'Calls of it at a time; 0 = any number.';
comment on column tandem.subscriber.did_in is 'Of trunks: where it is told the dialled number, ruri or to.';
comment on column tandem.subscriber.contacts_max is 'Phones that may be registered at a time, no more than a call has branches; 0 = as the node says.';
comment on column tandem.subscriber.expires_min_s is 'Shortest registration; 0 = as the node says.';
comment on column tandem.subscriber.expires_max_s is 'Longest registration; 0 = as the node says.';
comment on column tandem.subscriber.register_from is 'Networks from which it may register; empty = all.';
comment on column tandem.subscriber.digest is 'What it is asked for: md5, sha256, both; empty = as the domain says.';

alter table tandem.sip_domain
  add column digest text not null default 'md5' constraint digest_is_known check (digest in ('md5', 'sha256', 'both'));
comment on column tandem.sip_domain.digest is 'What its lines are asked for where they say nothing else: md5, sha256, both.';

alter table tandem.account
  add column media text not null default '' constraint media_is_known check (media in ('', 'relay', 'direct'));
comment on column tandem.account.media is
  'Whether sound goes through our relay: relay, direct; empty = as the account above says, direct where nobody says anything. Said by accounts above.';

-- Destinations: the columns, what they name, and indexes by which a change of what is named finds them.
do $$
declare
  place record;
  part  record;
begin
  for place in
    select * from (values ('number', '', 'number_reaches'), ('forward', 'to_', 'forward_leads_to'), ('ring_group', 'overflow_', 'overflow_leads_to'),
                          ('callflow_step', '', 'step_leads_to'), ('extension', '', 'extension_reaches'), ('ring_group_member', '', 'member_is')
                  ) as p(of_table, prefix, verb)
  loop
    for part in
      select * from (values (1, 'subscriber_id', 'subscriber', 'a_subscriber', 'The line that is reached.'),
                            (2, 'user_id', 'user', 'a_user', 'The user that is reached.'),
                            (3, 'ring_group_id', 'ring_group', 'a_group', 'The group that is reached.'),
                            (4, 'callflow_id', 'callflow', 'a_callflow', 'The callflow that is reached.')
                    ) as u(n, name, of_table, called, said)
       where not (place.of_table = 'ring_group_member' and n > 2)
    loop
      continue when place.of_table = 'number' and part.n = 1;
      -- A step has its own callflow in callflow_id.
      part.name := case when place.of_table = 'callflow_step' and part.n = 4 then 'flow_id' else place.prefix || part.name end;
      execute format('alter table tandem.%I add column %I bigint, add constraint %3$I foreign key (%2$I, account_id) references tandem.%4$I (id, account_id)',
        place.of_table, part.name, place.verb || '_' || part.called || '_of_its_account', part.of_table);
      execute format('create index %I on tandem.%I(%I) where %3$I is not null', place.of_table || '_by_' || part.name, place.of_table, part.name);
      execute format('comment on column tandem.%I.%I is %L', place.of_table, part.name, part.said);
    end loop;
    continue when place.of_table = 'ring_group_member';
    execute format(
      'alter table tandem.%I add column %I bigint constraint %I references tandem.media_server,'
      ' add column %4$I text constraint media_user_is_1_to_64_safe_characters check (%4$I ~ ''^[A-Za-z0-9._+*-]{1,64}$''),'
      ' add constraint media_server_and_media_user_come_together check ((%2$I is null) = (%4$I is null))',
      place.of_table, place.prefix || 'media_server_id', place.verb || '_a_media_server_that_exists', place.prefix || 'media_user');
    execute format('create index %I on tandem.%I(%I) where %3$I is not null',
      place.of_table || '_by_' || place.prefix || 'media_server_id', place.of_table, place.prefix || 'media_server_id');
    execute format('comment on column tandem.%I.%I is ''The media server that is reached.''', place.of_table, place.prefix || 'media_server_id');
    execute format('comment on column tandem.%I.%I is ''User part that is called at the media server: an announcement, a voicemail box.''',
      place.of_table, place.prefix || 'media_user');
    continue when place.of_table in ('number', 'extension');
    execute format('alter table tandem.%I add column %I tandem.e164', place.of_table, place.prefix || 'e164');
    execute format('create index %I on tandem.%I(%I) where %3$I is not null', place.of_table || '_by_' || place.prefix || 'e164', place.of_table,
      place.prefix || 'e164');
    execute format('comment on column tandem.%I.%I is ''The number that is called: one of ours, or one that leaves to carriers.''',
      place.of_table, place.prefix || 'e164');
  end loop;
end $$;
alter table tandem.number
  add constraint a_number_reaches_at_most_one
    check (num_nonnulls(subscriber_id, user_id, ring_group_id, callflow_id, media_server_id) <= 1);
comment on column tandem.number.subscriber_id is 'The line that is reached. Of all these columns at most one is set; none: the number is held and reaches nobody yet.';
alter table tandem.extension
  add column e164 tandem.e164,
  add constraint an_extension_reaches_exactly_one
    check (num_nonnulls(subscriber_id, user_id, ring_group_id, callflow_id, e164, media_server_id) = 1);
create index extension_by_e164 on tandem.extension(e164) where e164 is not null;
comment on column tandem.extension.e164 is 'The number that is called: one of ours, or one that leaves to carriers.';
alter table tandem.ring_group_member
  add constraint a_member_is_one_line_or_one_user check (num_nonnulls(subscriber_id, user_id) = 1),
  add constraint a_line_is_in_a_group_once unique (ring_group_id, subscriber_id),
  add constraint a_user_is_in_a_group_once unique (ring_group_id, user_id);
alter table tandem.ring_group
  add constraint an_overflow_leads_to_at_most_one check (num_nonnulls(overflow_subscriber_id, overflow_user_id, overflow_ring_group_id,
                                                                      overflow_callflow_id, overflow_e164, overflow_media_server_id) <= 1);
alter table tandem.forward
  add constraint a_forward_leads_to_exactly_one check (num_nonnulls(to_subscriber_id, to_user_id, to_ring_group_id, to_callflow_id, to_e164,
                                                                    to_media_server_id) = 1);
alter table tandem.callflow_step
  add constraint a_ring_names_a_line_or_user_or_group_and_other_kinds_do_not
    check (num_nonnulls(subscriber_id, user_id, ring_group_id) = (kind = 'ring')::integer),
  add constraint a_forward_names_a_number_and_other_kinds_do_not check ((e164 is not null) = (kind = 'forward')),
  add constraint a_flow_names_the_callflow_that_goes_on_and_other_kinds_do_not check ((flow_id is not null) = (kind = 'flow')),
  add constraint a_media_step_names_a_media_server_and_other_kinds_do_not check ((media_server_id is not null) = (kind = 'media')),
  add constraint a_reject_has_a_status_and_other_kinds_do_not check ((status is not null) = (kind = 'reject')),
  add constraint a_time_step_names_a_time_set_and_other_kinds_do_not check ((time_set_id is not null) = (kind = 'time')),
  add constraint a_caller_step_has_callers_and_other_kinds_do_not check ((cardinality(callers) > 0) = (kind = 'caller')),
  add constraint time_and_caller_have_an_otherwise_and_other_kinds_do_not check ((otherwise is not null) = (kind in ('time', 'caller'))),
  add constraint only_a_ring_has_ring_s check (ring_s = 0 or kind = 'ring'),
  add constraint only_a_reject_has_a_phrase check (phrase = '' or kind = 'reject');
comment on column tandem.callflow_step.ring_group_id is 'Of ring: the group that is called.';
comment on column tandem.callflow_step.subscriber_id is 'Of ring: the line that is called.';
comment on column tandem.callflow_step.user_id is 'Of ring: the user who is called.';
comment on column tandem.callflow_step.flow_id is 'Of flow: the callflow that goes on.';
create index callflow_step_by_time_set on tandem.callflow_step(time_set_id) where time_set_id is not null;
create index forward_by_time_set on tandem.forward(time_set_id) where time_set_id is not null;

-- What belongs to a row has its account, whatever the statement says.
create function tandem.adopt_account() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  new.account_id := coalesce(case tg_table_name  -- 0: refused by the foreign key
    when 'ring_group_member' then (select g.account_id from tandem.ring_group g where g.id = (to_jsonb(new) ->> 'ring_group_id')::bigint)
    when 'callflow_step' then (select c.account_id from tandem.callflow c where c.id = (to_jsonb(new) ->> 'callflow_id')::bigint)
    else coalesce((select s.account_id from tandem.subscriber s where s.id = (to_jsonb(new) ->> 'subscriber_id')::bigint),
                  (select u.account_id from tandem.user u where u.id = (to_jsonb(new) ->> 'user_id')::bigint)) end, 0);
  return new;
end $$;
comment on function tandem.adopt_account is 'Trigger: a member, step or forward is of the account of its group, callflow, line or user.';
revoke execute on function tandem.adopt_account from public;
create trigger adopt_account before insert or update on tandem.ring_group_member for each row execute function tandem.adopt_account();
create trigger adopt_account before insert or update on tandem.callflow_step for each row execute function tandem.adopt_account();
create trigger adopt_account before insert or update on tandem.forward for each row execute function tandem.adopt_account();

-- How many there may be.
create function tandem.bound_rows() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  found_rows bigint;
begin
  if to_jsonb(new) ->> tg_argv[0] is null then
    return null;
  end if;
  execute format('select count(*) from tandem.%I r where r.%I = ($1).%2$I', tg_table_name, tg_argv[0]) into found_rows using new;
  if found_rows > tg_argv[1]::bigint then
    raise check_violation using message = format('%s would have %s %s; at most %s are allowed', tg_argv[2], found_rows, tg_argv[3], tg_argv[1]);
  end if;
  return null;
end $$;
comment on function tandem.bound_rows is
  'Trigger(column, most, whose, what): how many rows may agree in this column. Without a lock, as tandem.bound_list.';
revoke execute on function tandem.bound_rows from public;
create trigger bound_rows after insert or update on tandem.ring_group_member
  for each row execute function tandem.bound_rows('ring_group_id', '64', 'the group', 'members');
create trigger bound_rows after insert or update on tandem.callflow_step
  for each row execute function tandem.bound_rows('callflow_id', '64', 'the callflow', 'steps');
create trigger bound_rows_of_subscriber after insert or update on tandem.forward
  for each row execute function tandem.bound_rows('subscriber_id', '16', 'the subscriber', 'forwards');
create trigger bound_rows_of_user after insert or update on tandem.forward
  for each row execute function tandem.bound_rows('user_id', '16', 'the user', 'forwards');
create trigger bound_rows after insert or update on tandem.trunk_place
  for each row execute function tandem.bound_rows('subscriber_id', '32', 'the trunk', 'places');
create trigger bound_rows after insert or update of user_id on tandem.subscriber
  for each row when (new.user_id is not null) execute function tandem.bound_rows('user_id', '64', 'the user', 'lines');

-- What accounts above lend.
create or replace function tandem.owner_of(used_table text, used_id bigint) returns bigint
language plpgsql stable
as $$
begin
  case used_table
    when 'barring_level' then return (select u.account_id from tandem.barring_level u where u.id = used_id);
    when 'rewrite_set' then return (select u.account_id from tandem.rewrite_set u where u.id = used_id);
    when 'sip_domain' then return (select u.account_id from tandem.sip_domain u where u.id = used_id);
    when 'time_set' then return (select u.account_id from tandem.time_set u where u.id = used_id);
    when 'media_server' then return (select u.account_id from tandem.media_server u where u.id = used_id);
  end case;
end $$;

do $$
declare
  reach record;
begin
  for reach in
    select * from (values ('number', 'media_server_id', 'media_server'), ('forward', 'to_media_server_id', 'media_server'),
                          ('forward', 'time_set_id', 'time_set'), ('ring_group', 'overflow_media_server_id', 'media_server'),
                          ('callflow_step', 'media_server_id', 'media_server'), ('callflow_step', 'time_set_id', 'time_set'),
                          ('extension', 'media_server_id', 'media_server')) as r(of_table, named, used)
  loop
    execute format('create trigger %I before insert or update of %I, account_id on tandem.%I for each row execute function tandem.check_reach(%2$L, %4$L)',
      'check_reach_' || reach.used, reach.named, reach.of_table, reach.used);
  end loop;
end $$;

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
  union all
  select u.account_id, t.account_id, u.what, 'time set ' || t.name
    from (select f.account_id, f.time_set_id, 'forward ' || f.id as what from tandem.forward f
          union all
          select s.account_id, s.time_set_id, 'step ' || s.position || ' of callflow ' || c.name
            from tandem.callflow_step s join tandem.callflow c on c.id = s.callflow_id) as u
    join tandem.time_set t on t.id = u.time_set_id
  union all
  select u.account_id, m.account_id, u.what, 'media server ' || m.name
    from (select n.account_id, n.media_server_id, 'number ' || n.e164 as what from tandem.number n
          union all
          select f.account_id, f.to_media_server_id, 'forward ' || f.id from tandem.forward f
          union all
          select g.account_id, g.overflow_media_server_id, 'group ' || g.name from tandem.ring_group g
          union all
          select s.account_id, s.media_server_id, 'step ' || s.position || ' of callflow ' || c.name
            from tandem.callflow_step s join tandem.callflow c on c.id = s.callflow_id
          union all
          select x.account_id, x.media_server_id, 'extension ' || x.dialled from tandem.extension x) as u
    join tandem.media_server m on m.id = u.media_server_id
$$;

create or replace function tandem.return_numbers(of_accounts bigint[], to_account bigint) returns text[]
language sql
as $$
  with returned as (
    update tandem.number n
       set account_id = to_account, subscriber_id = null, user_id = null, ring_group_id = null, callflow_id = null, media_server_id = null,
           media_user = null
     where n.account_id = any (of_accounts) returning n.e164
  )
  select coalesce(array_agg(r.e164::text order by r.e164), '{}') from returned r
$$;

create trigger keep_closed_made after insert on tandem.user for each row execute function tandem.keep_closed();
create trigger keep_closed_made after insert on tandem.ring_group for each row execute function tandem.keep_closed();
create trigger keep_closed_made after insert on tandem.callflow for each row execute function tandem.keep_closed();
create trigger keep_closed_made after insert on tandem.extension for each row execute function tandem.keep_closed();
create trigger keep_closed_made after insert on tandem.media_server for each row execute function tandem.keep_closed();
