-- What happened: calls and their payments; and the life of the cell: epochs, nodes, events set aside.
-- History names accounts and servers by id without foreign keys: a late event must be storable whatever was deleted since.
set local role tandem_owner;

create table tandem.cdr (
  rid         text primary key constraint rid_is_not_empty check (rid <> ''),
  call_id     text not null,
  node        text not null,
  started_at  timestamptz not null,
  answered_at timestamptz,
  ended_at    timestamptz not null,
  direction   text not null,
  source      text not null,
  account_id  bigint not null,
  caller      text not null,
  callee      text not null,
  outcome     text not null constraint outcome_is_known
              check (outcome in ('answered', 'cancelled', 'failed', 'refused', 'estimated', 'unknown_end')),
  sip_status  integer not null constraint sip_status_is_0_to_699 check (sip_status between 0 and 699),
  reason      text not null default '',
  q850        integer not null default 0 constraint q850_is_0_to_127 check (q850 between 0 and 127),
  ended_by    text not null default '',
  talk_ms     bigint not null default 0 constraint talk_is_not_negative check (talk_ms >= 0),
  billed_s    integer not null default 0 constraint billed_is_not_negative check (billed_s >= 0),
  server_id   bigint not null default 0,
  group_id    bigint not null default 0,
  attempts    jsonb not null default '[]' constraint attempts_are_a_list check (jsonb_typeof(attempts) = 'array'),
  trace       text[] not null default '{}',
  config_pass bigint not null default 0,
  epoch       bigint not null default 0,
  seq         integer not null default 0,
  created_at  timestamptz not null default now()
);
create index cdr_by_call_id on tandem.cdr(call_id);
create index cdr_by_account on tandem.cdr(account_id, started_at);
create index cdr_by_start on tandem.cdr(started_at);
comment on table tandem.cdr is 'One row per call, refused ones too. No prices here: a row with every level''s price would leak margins.';
comment on column tandem.cdr.rid is 'The call''s reservation.';
comment on column tandem.cdr.call_id is 'SIP Call-ID.';
comment on column tandem.cdr.node is 'Node that took the call.';
comment on column tandem.cdr.started_at is 'INVITE.';
comment on column tandem.cdr.answered_at is '200; null = never answered.';
comment on column tandem.cdr.ended_at is 'BYE, CANCEL or final failure.';
comment on column tandem.cdr.direction is 'out, in, internal; empty when it was refused before that was known.';
comment on column tandem.cdr.source is 'Address of record of the caller, or peer:<group>.';
comment on column tandem.cdr.account_id is 'Account that the call belongs to; 0 = nobody was identified.';
comment on column tandem.cdr.caller is 'Caller''s number after rewriting.';
comment on column tandem.cdr.callee is 'Called number after rewriting.';
comment on column tandem.cdr.outcome is 'answered, cancelled, failed, refused, estimated (a sweeper settled it), unknown_end.';
comment on column tandem.cdr.sip_status is 'Final SIP status to the caller; 0 = none.';
comment on column tandem.cdr.reason is 'Stable reason of a refusal or failure.';
comment on column tandem.cdr.q850 is 'Q.850 cause.';
comment on column tandem.cdr.ended_by is 'caller, callee, money, maximum, noc, sweeper; empty = none of them.';
comment on column tandem.cdr.talk_ms is 'Measured talk time.';
comment on column tandem.cdr.billed_s is 'Billed talk time: min(real, granted), whole seconds.';
comment on column tandem.cdr.server_id is 'Server that took the call; 0 = none.';
comment on column tandem.cdr.group_id is 'Its carrier; 0 = none.';
comment on column tandem.cdr.attempts is 'Servers tried and their SIP status: [[server id, status], …].';
comment on column tandem.cdr.trace is 'Why it was decided so, a sentence each.';
comment on column tandem.cdr.config_pass is 'Pass of configuration that the decision saw.';
comment on column tandem.cdr.epoch is 'Epoch of Redis that settled it.';
comment on column tandem.cdr.seq is 'Sequence of the event that wrote this row last.';
comment on column tandem.cdr.created_at is 'When the row was made.';

create table tandem.cdr_leg (
  rid          text not null,
  level        integer not null,
  payer_id     bigint not null,
  payee_id     bigint not null,
  currency     text not null,
  price_micros tandem.micros not null,
  tariff_id    bigint not null default 0,
  rate_set_id  bigint not null default 0,
  prefix       text not null default '',
  book         text not null constraint book_is_fund_or_cost check (book in ('fund', 'cost')),
  created_at   timestamptz not null default now(),
  primary key (rid, level, book)
);
create index cdr_leg_by_payer on tandem.cdr_leg(payer_id, created_at);
create index cdr_leg_by_payee on tandem.cdr_leg(payee_id, created_at);
comment on table tandem.cdr_leg is 'One payment of a call: seen by its payer and its payee, by nobody else.';
comment on column tandem.cdr_leg.rid is 'The call.';
comment on column tandem.cdr_leg.level is '1 = the payer nearest to the caller.';
comment on column tandem.cdr_leg.payer_id is 'Who pays; for the carrier''s leg its owner.';
comment on column tandem.cdr_leg.payee_id is 'Who is paid; for the carrier''s leg its owner, on the carrier''s behalf.';
comment on column tandem.cdr_leg.currency is 'Currency of the price.';
comment on column tandem.cdr_leg.price_micros is 'Price of the whole call.';
comment on column tandem.cdr_leg.tariff_id is 'By which tariff; 0 = priced at zero without one.';
comment on column tandem.cdr_leg.rate_set_id is 'By which rate set; 0 = none.';
comment on column tandem.cdr_leg.prefix is 'By which prefix.';
comment on column tandem.cdr_leg.book is 'fund: paid from a fund; cost: owed to a carrier.';
comment on column tandem.cdr_leg.created_at is 'When the row was made.';

create table tandem.epoch (
  number     bigint primary key constraint epoch_is_positive check (number > 0),
  state      text not null constraint state_is_known check (state in ('building', 'armed', 'lost')),
  started_at timestamptz not null default now(),
  armed_at   timestamptz,
  note       text not null default '',
  constraint an_armed_epoch_says_since_when check (state <> 'armed' or armed_at is not null)
);
create unique index one_epoch_is_open on tandem.epoch((true)) where state = 'building';
create unique index one_epoch_is_armed on tandem.epoch((true)) where state = 'armed';
comment on table tandem.epoch is 'Lives of the money in Redis; at most one is armed, at most one is being built.';
comment on column tandem.epoch.number is 'Counts up.';
comment on column tandem.epoch.state is 'building -> armed -> lost; building -> lost when a rebuild is begun again.';
comment on column tandem.epoch.started_at is 'When its building began.';
comment on column tandem.epoch.armed_at is 'When Redis began to grant holds in it.';
comment on column tandem.epoch.note is 'Why it was begun, for people.';

create table tandem.node (
  name       text primary key constraint node_name_is_1_to_32_characters check (name ~ '^[a-z0-9-]{1,32}$'),
  last_seen  timestamptz not null default now(),
  boot_id    text not null default '',
  opseq      bigint not null default 0,
  created_at timestamptz not null default now()
);
comment on table tandem.node is 'Kamailio nodes of the cell: who must be asked at a rebuild.';
comment on column tandem.node.name is 'TANDEM_NODE.';
comment on column tandem.node.last_seen is 'When it was last heard of.';
comment on column tandem.node.boot_id is 'Boot of its machine: monotonic times compare only within one.';
comment on column tandem.node.opseq is 'Highest operation number of Redis that it has seen; a lower one later means lost operations.';
comment on column tandem.node.created_at is 'When it was first heard of.';

create table tandem.event_poison (
  id         bigint generated always as identity primary key,
  stream_id  text not null,
  reason     text not null,
  payload    bytea not null,
  created_at timestamptz not null default now()
);
comment on table tandem.event_poison is 'Call events that could not be posted, set aside whole for an operator.';
comment on column tandem.event_poison.id is 'Key.';
comment on column tandem.event_poison.stream_id is 'Id in the stream; not unique, ids repeat after a failover.';
comment on column tandem.event_poison.reason is 'Why it could not be posted.';
comment on column tandem.event_poison.payload is 'The entry''s bytes.';
comment on column tandem.event_poison.created_at is 'When it was set aside.';
