-- Closes an account with all below it, for ever: their lines are closed, their trusted sources gone, their domains and carriers disabled,
-- their rights taken; their numbers go to the parent of the closed account and reach nobody there. All else stays as it is, for history.
-- account_id: below the acting account, never itself nor the root. Returns {"accounts", "lines", "numbers", "balances"}: how many of
-- them were closed now, which numbers the parent has now, and what is left: [{"account", "currency", "micros"}, …], to be paid out by an adjustment;
-- accounts, lines and balances only as far as the acting account sees them.
-- A call in progress gets no more time, and is posted when it ends. Locks every account of the subtree until commit: what would be
-- added to them, or credited to them, at this moment is there before, or refused after. Called by `tandem account close`.
set local role tandem_owner;

create or replace function tandem.close_account_v1(account_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  account tandem.account;
  ids     bigint[];
  seen    bigint[];
  numbers text[];
  lines   integer;
  closed  integer;
begin
  perform tandem.hold_tree();
  account := tandem.governed(close_account_v1.account_id, 'close');
  ids := tandem.lock_subtree(account.id);
  seen := tandem.seen_of(ids);
  select count(*) into closed from tandem.account a where a.id = any (seen) and a.status <> 'closed';
  select count(*) into lines from tandem.subscriber s where s.account_id = any (seen) and s.status <> 'closed';
  numbers := tandem.return_numbers(ids, account.parent_id);
  delete from tandem.trusted_source t using tandem.subscriber s where s.id = t.subscriber_id and s.account_id = any (ids);
  update tandem.subscriber s set status = 'closed' where s.account_id = any (ids) and s.status <> 'closed';
  update tandem.sip_domain d set enabled = false where d.account_id = any (ids) and d.enabled;
  update tandem.peering_group g set enabled = false where g.account_id = any (ids) and g.enabled;
  delete from tandem.account_grant g where g.account_id = account.id;  -- those below rest on it
  update tandem.account a set status = 'closed' where a.id = any (ids) and a.status <> 'closed';
  return jsonb_build_object('accounts', closed, 'lines', lines, 'numbers', to_jsonb(numbers), 'balances', (
    select coalesce(jsonb_agg(jsonb_build_object('account', b.account_id, 'currency', b.currency, 'micros', b.balance_micros)
                              order by b.account_id, b.currency), '[]')
      from tandem.fund_balance b where b.account_id = any (seen) and b.balance_micros <> 0));
end $$;
comment on function tandem.close_account_v1 is 'Close an account with all below it, for ever; returns what was closed and what money is left.';
revoke execute on function tandem.close_account_v1 from public;
grant execute on function tandem.close_account_v1 to tandem_tool, tandem_tenant;
