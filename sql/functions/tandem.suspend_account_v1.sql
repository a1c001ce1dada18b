-- Suspends an account with all below it: no new calls, none to its numbers, no registrations.
-- account_id: below the acting account, never itself nor the root. Returns its status before; one that is suspended stays so.
-- Accounts below keep their own status. A call in progress gets no more time: it ends when what is held for it is talked. Emergency
-- calls pass. Only the account that did it, or one above it, ends it. Locks the account's row until commit. Called by `tandem account suspend`.
set local role tandem_owner;

create or replace function tandem.suspend_account_v1(account_id bigint) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  account tandem.account := tandem.governed(suspend_account_v1.account_id, 'suspend');
begin
  if account.status = 'closed' then
    raise check_violation using message = format('account %s %L is closed for ever', account.id, account.name);
  end if;
  update tandem.account a set status = 'suspended' where a.id = account.id and a.status <> 'suspended';
  perform tandem.note_hold(account.id, 'status');
  return account.status;
end $$;
comment on function tandem.suspend_account_v1 is 'Suspend an account with all below it; returns its status before.';
revoke execute on function tandem.suspend_account_v1 from public;
grant execute on function tandem.suspend_account_v1 to tandem_tool, tandem_tenant;
