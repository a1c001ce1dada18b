-- Ends the suspension of an account. Those below it call again, unless they are suspended themselves; so does it, unless one above it is.
-- account_id: below the acting account, never itself nor the root. Returns its status before; one that is active stays so. Not where one above the
-- acting account suspended it.
-- Locks the account's row until commit. Called by `tandem account resume`.
set local role tandem_owner;

create or replace function tandem.resume_account_v1(account_id bigint) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  account tandem.account := tandem.governed(resume_account_v1.account_id, 'resume');
begin
  if account.status = 'closed' then
    raise check_violation using message = format('account %s %L is closed for ever', account.id, account.name);
  elsif tandem.is_held(account.id, 'status') then
    raise insufficient_privilege using message = format(
      'account %s %L was suspended by one above this one: that one, or one above it, resumes it', account.id, account.name);
  end if;
  update tandem.account a set status = 'active' where a.id = account.id and a.status <> 'active';
  return account.status;
end $$;
comment on function tandem.resume_account_v1 is 'End the suspension of an account; returns its status before.';
revoke execute on function tandem.resume_account_v1 from public;
grant execute on function tandem.resume_account_v1 to tandem_tool, tandem_tenant;
