-- What a syncer leaves to the next one, and what makes `masks` cheap where there are a million trusted sources.
set local role tandem_owner;

-- A row per pass instead of one that changes: while somebody else's long transaction keeps dead rows alive, finding the
-- newest of many stays a matter of one index entry; one row's hundred thousand dead versions would all be looked at.
create table tandem.sync_applied (
  version bigint primary key constraint version_is_positive check (version > 0),
  at      timestamptz not null default clock_timestamp()
);
comment on table tandem.sync_applied is
  'The last passes that were applied and committed; the syncer removes older ones. Redis with a lower PASS than the highest has lost some.';
comment on column tandem.sync_applied.version is '(fence << 32) | pass, as it stands at PASS in Redis after it.';
comment on column tandem.sync_applied.at is 'When it was applied.';

create table tandem.sync_state (
  cell       smallint primary key constraint cell_is_0_to_99 check (cell between 0 and 99),
  unsure     text[] not null default '{}',
  drift      bigint not null default 0 constraint drift_is_not_negative check (drift >= 0),
  drift_at   timestamptz,
  swept_at   timestamptz,
  sweep_s    integer
);
comment on table tandem.sync_state is 'One row: how sure the syncer is that Redis equals this database.';
comment on column tandem.sync_state.cell is 'Which Redis.';
comment on column tandem.sync_state.unsure is
  'Kinds (views of schema sync) that must be compared before Redis counts as equal; survives a syncer that is killed meanwhile.';
comment on column tandem.sync_state.drift is 'Aggregates that differed although nothing waited for them in the outbox; each was repaired.';
comment on column tandem.sync_state.drift_at is 'When the last one was repaired; null = there was none.';
comment on column tandem.sync_state.swept_at is 'When everything was last compared.';
comment on column tandem.sync_state.sweep_s is 'How long that took: so old a difference may become before it is found.';
insert into tandem.sync_state(cell) values (0);

grant select on tandem.sync_applied, tandem.sync_state to tandem_sync, tandem_settle, tandem_tool;
grant insert, delete on tandem.sync_applied to tandem_sync;
grant update on tandem.sync_state to tandem_sync;

create index trusted_source_by_mask on tandem.trusted_source (family(network), masklen(network)) where enabled;
