-- The audit as the acting account may read it: rows by policy, and who acted only where that account is seen too.
set local role tandem_owner;

create view tandem.audit_record with (security_invoker = true) as
select a.id, a.at, tandem.audit_actor(a.id) as actor, tandem.audit_acting(a.id) as acting_account_id,
       a.account_id, a.table_name, a.key, a.action, a.changed, a.before, a.after
  from tandem.audit a;
comment on view tandem.audit_record is 'Every change of configuration that one may read of; actor is empty for those above and beside.';
comment on column tandem.audit_record.id is 'Order of writing.';
comment on column tandem.audit_record.at is 'When.';
comment on column tandem.audit_record.actor is 'Person or tool; empty where they acted for an account that the reader does not see.';
comment on column tandem.audit_record.acting_account_id is 'Account that they acted for; null where the reader does not see it, or it is not known.';
comment on column tandem.audit_record.account_id is 'Whose configuration it is; null = the platform''s.';
comment on column tandem.audit_record.table_name is 'Table of schema tandem.';
comment on column tandem.audit_record.key is 'Primary key of the row; parts joined by /.';
comment on column tandem.audit_record.action is 'insert, update, delete, truncate.';
comment on column tandem.audit_record.changed is 'Names of the columns that an update changed, secret ones too.';
comment on column tandem.audit_record.before is 'The row before, without secrets.';
comment on column tandem.audit_record.after is 'The row after, without secrets.';
grant select on tandem.audit_record to tandem_tool, tandem_tenant;
