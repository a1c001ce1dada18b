-- Moves an account with all below it to another parent.
-- account_id: below the acting account, never itself nor the root, not closed. parent_id: the acting account or one that it sees.
-- tariff_id: what the new parent charges; one of its own. Returns {"rights": taken, "moved": [{"currency", "micros"}, …]}.
-- What the account has, or owes, as posted, goes along: the former parent's cash book pays it to the new one's, so that the account has it with
-- its new parent. A call in progress ends under the former parent, at the prices that it began with; what it then costs is no part of that sum.
-- The new parent's overcommit_pct bounds it as it bounds a top-up. A tenant has the right accounts, where a balance goes along also money.
-- Numbers, lines and history go along; rights that the new parent lacks are taken. What it uses of accounts that would no longer be above
-- it (a domain, rewrite rules, barring) forbids the move.
-- Locks the account's row until commit, and other moves. Called by `tandem account move`.
set local role tandem_owner;

create or replace function tandem.move_account_v1(account_id bigint, parent_id bigint, tariff_id bigint) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  account tandem.account;
  rights  text[];
  moved   jsonb;
begin
  perform tandem.hold_tree();
  account := tandem.governed(move_account_v1.account_id, 'move');
  perform tandem.demand('accounts');
  if not tandem.acting_sees(move_account_v1.parent_id)
     or not exists (select from tandem.account p where p.id = move_account_v1.parent_id)
  then
    raise foreign_key_violation using message = format('account %s does not exist', move_account_v1.parent_id);
  elsif account.status = 'closed' then
    raise check_violation using message = format('account %s %L is closed and stays where it is', account.id, account.name);
  elsif account.parent_id = move_account_v1.parent_id then
    raise check_violation using message = format('account %s %L is below account %s already', account.id, account.name, account.parent_id);
  elsif exists (select from tandem.fund_balance b where b.account_id = account.id and b.balance_micros <> 0) then
    perform tandem.demand('money');
  end if;
  rights := array(select g.right_name from tandem.account_grant g where g.account_id = account.id order by 1);
  update tandem.account a set parent_id = move_account_v1.parent_id, tariff_id = move_account_v1.tariff_id where a.id = account.id;
  -- Nobody posts to it while its row is locked: what it has is what it comes with.
  perform tandem.check_overcommit(a, b.currency, 0)
    from tandem.account a join tandem.fund_balance b on b.account_id = a.id and b.balance_micros > 0 where a.id = account.id;
  with balance as (
    select b.currency, b.balance_micros as micros, gen_random_uuid() as txn
      from tandem.fund_balance b where b.account_id = account.id and b.balance_micros <> 0
  ), posted as (
    insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, note, actor)
    select gen_random_uuid(), b.txn, side.account_id, 'cash', b.currency, side.sign * b.micros, 'pg', side.note, tandem.actor()
      from balance b cross join (values
        (account.parent_id, 1, format('account %s %s left with its balance', account.id, account.name)),
        (move_account_v1.parent_id, -1, format('account %s %s came with its balance', account.id, account.name))) as side(account_id, sign, note)
  )
  select coalesce(jsonb_agg(jsonb_build_object('currency', b.currency, 'micros', b.micros) order by b.currency), '[]') into moved from balance b;
  return jsonb_build_object('moved', moved, 'rights', (
    select coalesce(jsonb_agg(r.name order by r.name), '[]') from unnest(rights) as r(name)
     where not exists (select from tandem.account_grant g where g.account_id = account.id and g.right_name = r.name)));
end $$;
comment on function tandem.move_account_v1 is 'Move an account with all below it, and its balance, to another parent; returns what money moved and which rights it lost.';
revoke execute on function tandem.move_account_v1 from public;
grant execute on function tandem.move_account_v1 to tandem_tool, tandem_tenant;
