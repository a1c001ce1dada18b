-- What a generation of the configuration had seen, exactly: `tandem replay` goes back to it by the audit trail.
set local role tandem_owner;

-- No default while the column is added: rows of before would all get the number of this migration.
alter table tandem.audit add column xid xid8;
alter table tandem.audit alter column xid set default pg_current_xact_id();
comment on column tandem.audit.xid is 'Transaction that made the change; null = a release before this column wrote it, so only `at`, its beginning, is known.';

alter table tandem.generation add column snapshot pg_snapshot;
alter table tandem.generation alter column snapshot set default pg_current_snapshot();
comment on column tandem.generation.snapshot is 'Which transactions it has; null = a release before this column wrote it, so only `applied_at` is known.';
