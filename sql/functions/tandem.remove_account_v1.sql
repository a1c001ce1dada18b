-- Deletes an account with all below it and all that is theirs, as if it had never been; only records of calls and the audit still name it.
-- account_id: below the acting account, never itself nor the root; it and all below it are closed for 30 days, as their last calls are
-- posted then, and without an entry in the ledger: what was ever billed stays, closed. Their carriers are disabled for as long.
-- Returns how many accounts are gone, as far as the acting account saw them. Locks them all until commit. Called by `tandem account remove`.
set local role tandem_owner;

create or replace function tandem.remove_account_v1(account_id bigint) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  account tandem.account;
  ids     bigint[];
  seen    integer;
  left_id bigint;
begin
  perform tandem.hold_tree();
  account := tandem.governed(remove_account_v1.account_id, 'remove');
  ids := tandem.lock_subtree(account.id);
  seen := cardinality(tandem.seen_of(ids));
  if exists (select from tandem.account a where a.id = any (ids) and not tandem.is_long_ago(a.closed_at)) then
    raise check_violation using message = format(
      'account %s %L cannot be removed before it and all below it are closed for 30 days: calls may not be posted yet', account.id, account.name);
  elsif exists (select from tandem.ledger_entry e where e.account_id = any (ids)) then
    raise check_violation using message = format(
      'account %s %L stays, closed: it or one below it has entries in the ledger', account.id, account.name);
  end if;
  perform tandem.return_numbers(ids, account.parent_id);
  delete from tandem.extension x where x.account_id = any (ids);
  delete from tandem.forward f where f.account_id = any (ids);
  delete from tandem.callflow_step s where s.account_id = any (ids);
  delete from tandem.ring_group g where g.account_id = any (ids);
  delete from tandem.callflow c where c.account_id = any (ids);
  delete from tandem.subscriber s where s.account_id = any (ids);
  delete from tandem.user u where u.account_id = any (ids);
  delete from tandem.media_server m where m.account_id = any (ids);
  delete from tandem.sip_domain d where d.account_id = any (ids);
  delete from tandem.peering_group g where g.account_id = any (ids);
  update tandem.account a set contact_id = null, barring_id = null, own_barring_id = null
   where a.id = any (ids) and (a.contact_id, a.barring_id, a.own_barring_id) is distinct from (null, null, null);
  delete from tandem.contact c where c.account_id = any (ids);
  delete from tandem.barring_level b where b.account_id = any (ids);
  delete from tandem.time_set t where t.account_id = any (ids);
  delete from tandem.rewrite_set w where w.account_id = any (ids);
  for left_id in  -- from the leaves upwards: an account holds its tariff, a tariff its owner
    select b.id from unnest(ids) as b(id) order by (select max(link.distance) from tandem.chain(b.id) as link) desc, b.id
  loop
    delete from tandem.tariff t where t.account_id = left_id;
    delete from tandem.account a where a.id = left_id;
  end loop;
  return seen;
end $$;
comment on function tandem.remove_account_v1 is 'Delete accounts that are closed for 30 days and were never billed; returns how many.';
revoke execute on function tandem.remove_account_v1 from public;
grant execute on function tandem.remove_account_v1 to tandem_tool, tandem_tenant;
