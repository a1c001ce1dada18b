-- How servers have done lately, and which configuration was in force when.
set local role tandem_owner;

create table tandem.server_quality (
  server_id bigint primary key references tandem.peering_server on delete cascade,
  attempts  double precision not null default 0,
  answered  double precision not null default 0,
  talk_s    double precision not null default 0,
  rung      double precision not null default 0,
  pdd_ms    double precision not null default 0,
  at        timestamptz not null default now(),
  constraint sums_are_not_negative check (attempts >= 0 and answered >= 0 and talk_s >= 0 and rung >= 0 and pdd_ms >= 0)
);
comment on table tandem.server_quality is 'Sums over a server''s calls, each of which counts the less the older it is.';
comment on column tandem.server_quality.server_id is 'The server.';
comment on column tandem.server_quality.attempts is 'Calls that it was sent.';
comment on column tandem.server_quality.answered is 'Those that it answered.';
comment on column tandem.server_quality.talk_s is 'How long these lasted, together.';
comment on column tandem.server_quality.rung is 'Calls that rang or were answered.';
comment on column tandem.server_quality.pdd_ms is 'How long it took until these did, together.';
comment on column tandem.server_quality.at is 'The moment as of which the calls were weighed.';

create table tandem.generation (
  config_pass bigint primary key constraint pass_is_positive check (config_pass > 0),
  applied_at  timestamptz not null default now()
);
comment on table tandem.generation is
  'Versions of the configuration in Redis, at most one a second: a CDR''s is the last one that is not above its config_pass.';
comment on column tandem.generation.config_pass is '(fence << 32) | pass.';
comment on column tandem.generation.applied_at is 'It has what was committed by then.';
create index generation_by_time on tandem.generation(applied_at);

select tandem.feed_outbox('server_quality', 'quality', $q$ select 'quality' $q$);

grant select on tandem.server_quality, tandem.generation to tandem_sync, tandem_settle, tandem_tool;
grant insert, update, delete on tandem.server_quality to tandem_settle;
grant insert on tandem.generation to tandem_sync;
