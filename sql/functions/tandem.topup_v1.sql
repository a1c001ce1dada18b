-- Money that an account pays its parent outside of calls, or gets back.
-- account_id: not the root. amount_micros: in the account's currency; plus credits the account, minus debits it.
-- note, actor: why and who, for people. request: a name of the wish; the same one again changes nothing; null = a new wish.
-- Returns the transaction: fund of the account +amount, cash of the parent -amount, origin pg.
-- Locks the fund's sum until commit. Called by `tandem account topup` and the seeds.
set local role tandem_owner;

create or replace function tandem.topup_v1(account_id bigint, amount_micros bigint, note text, actor text, request text default null)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  account tandem.account;
  txn     uuid := case when request is null then gen_random_uuid() else tandem.posting_id_v1('topup ' || topup_v1.account_id || ' ' || request) end;
  earlier bigint;
begin
  select * into account from tandem.account a where a.id = topup_v1.account_id;
  if not found then
    raise foreign_key_violation using message = format('account %s does not exist', topup_v1.account_id);
  elsif account.kind = 'root' then
    raise check_violation using message = 'the root is billed by nobody and has no fund';
  elsif account.status = 'closed' then
    raise check_violation using message = format('account %s %L is closed', account.id, account.name);
  elsif coalesce(topup_v1.amount_micros, 0) = 0 then
    raise check_violation using message = 'an amount of zero moves nothing';
  elsif coalesce(topup_v1.note, '') = '' or coalesce(topup_v1.actor, '') = '' then
    raise check_violation using message = 'a top-up says why and by whom';
  end if;
  insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, note, actor)
  values
    (tandem.posting_id_v1(txn || ' fund'), txn, account.id, 'fund', account.currency, topup_v1.amount_micros, 'pg',
     topup_v1.note, topup_v1.actor),
    (tandem.posting_id_v1(txn || ' cash'), txn, account.parent_id, 'cash', account.currency, -topup_v1.amount_micros, 'pg',
     topup_v1.note, topup_v1.actor)
  on conflict (id) do nothing;
  select e.amount_micros into earlier from tandem.ledger_entry e where e.id = tandem.posting_id_v1(txn || ' fund');
  if earlier <> topup_v1.amount_micros then
    raise unique_violation using message = format('request %L was a top-up of %s micros before, not of %s', request, earlier, topup_v1.amount_micros);
  end if;
  return txn;
end $$;
comment on function tandem.topup_v1 is 'Credit (or debit) an account by a ledger transaction; idempotent by request.';
revoke execute on function tandem.topup_v1 from public;
grant execute on function tandem.topup_v1 to tandem_tool;
