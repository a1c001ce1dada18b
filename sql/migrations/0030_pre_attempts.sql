-- Every try of a hunt by itself, what servers did since their quality was weighed, and what became of servers' names.
set local role tandem_owner;

create table tandem.cdr_attempt (
  rid       text collate "C" not null,
  n         integer not null constraint attempts_count_from_1 check (n > 0),
  server_id bigint not null,
  asked_at  timestamptz,
  ended_at  timestamptz,
  status    integer not null constraint status_is_0_to_699 check (status between 0 and 699),
  pdd_ms    integer constraint pdd_is_not_negative check (pdd_ms >= 0),
  why       text not null default '',
  primary key (rid, n)
);
comment on table tandem.cdr_attempt is 'The tries of a call''s hunt, written with its record and replaced with it.';
comment on column tandem.cdr_attempt.rid is 'The call.';
comment on column tandem.cdr_attempt.n is 'Place in the hunt, 1 = the first.';
comment on column tandem.cdr_attempt.server_id is 'Server; without foreign key, as in cdr. 0 = not known, or the phone that answered.';
comment on column tandem.cdr_attempt.asked_at is 'Our INVITE; null = the release that told it did not know.';
comment on column tandem.cdr_attempt.ended_at is 'Its final answer; null as above.';
comment on column tandem.cdr_attempt.status is 'SIP status of that answer; 0 = cancelled while trying.';
comment on column tandem.cdr_attempt.pdd_ms is 'From our INVITE until it rang or answered; null = it did neither, or nobody knew.';
comment on column tandem.cdr_attempt.why is
  'Where the status does not say it: channels, cps (not asked: full), pdd (silent for too long), ring (rang too long), redirect, unreachable.';

create table tandem.server_calls (
  server_id bigint not null,
  minute_at timestamptz not null,
  attempts  integer not null,
  answered  integer not null,
  talk_ms   bigint not null,
  rung      integer not null,
  pdd_ms    bigint not null
);
comment on table tandem.server_calls is
  'What posted calls add to server_quality: written in the transaction that posts them, taken away when they are weighed. A minus takes back.';
comment on column tandem.server_calls.server_id is 'The server; it may be gone by now.';
comment on column tandem.server_calls.minute_at is 'Minute in which the calls ended.';
comment on column tandem.server_calls.attempts is 'Calls that it was asked for.';
comment on column tandem.server_calls.answered is 'Those that it answered.';
comment on column tandem.server_calls.talk_ms is 'How long these lasted, together.';
comment on column tandem.server_calls.rung is 'Calls that rang or were answered, where it is known when.';
comment on column tandem.server_calls.pdd_ms is 'How long it took until these did, together.';

create function tandem.weight_since(at timestamptz) returns double precision
language sql stable strict
as $$
  select power(0.5::float8, least(99, greatest(0, extract(epoch from now() - at)::float8 / 1800)))
$$;
comment on function tandem.weight_since is
  'What a call counts that ended then: half of it after half an hour. Never more than 1, should a clock be ahead; never too small for a number.';

create table tandem.peering_server_lookup (
  server_id bigint primary key references tandem.peering_server on delete cascade,
  host      text not null,
  fault     text not null default '',
  since     timestamptz not null default now()
);
comment on table tandem.peering_server_lookup is 'What became of looking up a server''s name the last time; written when that changes.';
comment on column tandem.peering_server_lookup.server_id is 'A server with a name.';
comment on column tandem.peering_server_lookup.host is 'The name that was looked up; the server may have another one by now.';
comment on column tandem.peering_server_lookup.fault is 'What is wrong; the addresses found before stay in force. Empty = nothing is.';
comment on column tandem.peering_server_lookup.since is 'Since when it is so.';

grant select on tandem.cdr_attempt, tandem.server_calls, tandem.peering_server_lookup to tandem_sync, tandem_settle, tandem_tool;
grant insert, delete on tandem.cdr_attempt, tandem.server_calls to tandem_settle;
grant insert, update on tandem.peering_server_lookup to tandem_sync;
