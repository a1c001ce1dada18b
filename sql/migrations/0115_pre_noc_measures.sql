-- What the NOC ordered: quarantines, traces, levels of the log, flushes; who, when, until when, why.
set local role tandem_owner;

create table tandem.noc_measure (
  stream_id text primary key,
  at        timestamptz not null,
  act       text not null constraint act_is_known check (act in ('begin', 'end')),
  measure   text not null,
  kind      text not null,
  value     text not null,
  until     timestamptz not null,
  who       text not null,
  node      text not null,
  why       text not null default '',
  level     integer not null default 0
);
comment on table tandem.noc_measure is 'What the NOC ordered of the nodes, one row per order; an end that a measure came to by itself has none.';
comment on column tandem.noc_measure.stream_id is 'Its entry in the stream of the cell''s Redis, so that an entry that is read twice is one row.';
comment on column tandem.noc_measure.at is 'When, by Redis'' clock.';
comment on column tandem.noc_measure.act is 'begin: it begins, or gets another end; end: it was ended before its time.';
comment on column tandem.noc_measure.measure is 'quarantine, trace, loglevel or flush.';
comment on column tandem.noc_measure.kind is 'What is measured: carrier, server, account, source; line, prefix; node; caches.';
comment on column tandem.noc_measure.value is 'Which one; * = all of them. Carriers, servers and accounts by their ids as they were then.';
comment on column tandem.noc_measure.until is 'When it ends, or ended.';
comment on column tandem.noc_measure.who is 'Who ordered it, as they said.';
comment on column tandem.noc_measure.node is 'The node that was asked.';
comment on column tandem.noc_measure.why is 'Why, in the words of who ordered it.';
comment on column tandem.noc_measure.level is 'Of the log, where that was set.';
create index noc_measure_by_time on tandem.noc_measure(at);

create trigger keep_measures before update or delete or truncate on tandem.noc_measure
  for each statement execute function tandem.keep_ledger();
grant select on tandem.noc_measure to tandem_settle, tandem_tool;
grant insert on tandem.noc_measure to tandem_settle;
select tandem.isolate('noc_measure');
