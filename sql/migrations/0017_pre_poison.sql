-- Events set aside leave the table by a person's hand, with a word on why; the audit keeps their bytes.
set local role tandem_owner;

alter table tandem.event_poison add column note text not null default '';
comment on column tandem.event_poison.note is 'Why it leaves the table, written just before it does: posted after all, or given up.';

-- Only deletes: what is set aside is no change of configuration.
create trigger keep_deleted after delete on tandem.event_poison
  referencing old table as old_rows for each statement execute function tandem.write_audit('r.id', 'null');
grant update (note) on tandem.event_poison to tandem_settle;
