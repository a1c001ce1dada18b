-- The audit is what was written, for ever; and each reads of it who acted as far as that one is seen.
set local role tandem_owner;

create function tandem.keep_audit() returns trigger
language plpgsql
as $$
begin
  if tg_op <> 'INSERT' then
    raise check_violation using message = 'the audit is never changed';
  elsif pg_trigger_depth() < 2 then
    raise check_violation using message = 'the audit is written by triggers alone';
  end if;
  return null;
end $$;
comment on function tandem.keep_audit is 'Trigger: no update, no delete, no truncate; and no insert but by another trigger.';
create trigger keep_audit before update or delete or truncate on tandem.audit
  for each statement execute function tandem.keep_audit();
create trigger keep_audit_insert before insert on tandem.audit for each statement execute function tandem.keep_audit();
alter table tandem.audit enable always trigger keep_audit;  -- also where session_replication_role silences others

create function tandem.audit_actor(of_entry bigint) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  entry record;
begin
  select a.actor, a.acting_account_id, a.account_id into entry from tandem.audit a where a.id = of_entry;
  if tandem.is_platform() then
    return entry.actor;
  elsif not tandem.acting_sees(entry.account_id) then
    return null;
  elsif tandem.acting_sees(entry.acting_account_id) or entry.actor ~ '^threshold [0-9]+$' then
    return entry.actor;
  end if;
  return '';
end $$;
comment on function tandem.audit_actor is
  'Who made a change; empty where they acted for an account that the reader does not see. A threshold that locked is always named.';
revoke execute on function tandem.audit_actor from public;
grant execute on function tandem.audit_actor to tandem_tool, tandem_tenant;

create function tandem.ledger_actor(of_entry uuid) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  entry record;
begin
  select e.actor, e.acting_account_id, e.account_id into entry from tandem.ledger_entry e where e.id = of_entry;
  if tandem.is_platform() then
    return entry.actor;
  elsif not tandem.acting_sees(entry.account_id) then
    return null;
  elsif tandem.acting_sees(entry.acting_account_id) then
    return entry.actor;
  end if;
  return '';
end $$;
comment on function tandem.ledger_actor is
  'Who posted an entry; empty where they acted for an account that the reader does not see, or where it is not known for which.';
revoke execute on function tandem.ledger_actor from public;
grant execute on function tandem.ledger_actor to tandem_tool, tandem_tenant;
