-- Money that moves by hand between an account and its parent.
-- account_id: not the root. micros: whole; plus for topup, credit and debit, either sign for adjust. kind:
--   topup   money came in           fund of the account +   cash of its parent −
--   credit  a present, a refund     fund +                  income of its parent −
--   debit   a fee                   fund −                  income of its parent +
--   adjust  a correction, a payout  fund ±                  cash of its parent ∓
-- note, actor: why and who, for people; of a tenant the actor is the one that its transaction acts for. request: a name of the wish under
-- this parent; the same one again changes nothing; null = a new wish.
-- currency: of one of its funds; null = what the account pays in. Returns the transaction; origin pg.
-- A tenant has the right money, and moves that of accounts which it sees below itself.
-- What an account gets is bounded by its parent's overcommit_pct; a closed one gets nothing and can only be paid out.
-- Locks the fund's sum until commit; looks at its thresholds. Called by `tandem account` and the seeds.
set local role tandem_owner;

create or replace function tandem.move_v1(account_id bigint, micros numeric, kind text, note text, actor text,
                                          request text default null, currency text default null)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  account  tandem.account;
  amount   bigint := tandem.whole_micros(move_v1.micros);
  other    text := case when kind in ('credit', 'debit') then 'income' else 'cash' end;
  who      constant text := case when tandem.is_platform() then move_v1.actor else tandem.actor() end;  -- a tenant's own word is none
  txn      uuid;
  fund_id  uuid;
  other_id uuid;
  earlier  record;
begin
  perform tandem.admit(move_v1.account_id, below => true), tandem.demand('money');
  select * into account from tandem.account a where a.id = move_v1.account_id for key share;  -- no move of it meanwhile
  if not found then
    raise foreign_key_violation using message = format('account %s does not exist', move_v1.account_id);
  end if;
  perform tandem.admit(move_v1.account_id, below => true);  -- a move may have ended while the lock was waited for
  if account.kind = 'root' then
    raise check_violation using message = 'the root is billed by nobody and has no fund';
  elsif kind is null or kind not in ('topup', 'credit', 'debit', 'adjust') then
    raise check_violation using message = format('%L is none of topup, credit, debit, adjust', kind);
  elsif kind <> 'adjust' and amount < 0 then
    raise check_violation using message = format('a %s of %s: its amount is positive; take money back by debit or adjust', kind,
      (amount / 1000000.0)::numeric(20, 6));
  elsif coalesce(btrim(move_v1.note), '') = '' or coalesce(btrim(move_v1.actor), '') = '' then
    raise check_violation using message = format('a %s says why and by whom', case kind when 'topup' then 'top-up' else kind end);
  end if;
  -- A wish is one between two: the same name under another parent is another wish, of which this one is told nothing. Before this release
  -- the parent was no part of the name; it stands in the other entry.
  txn := tandem.posting_id_v1('topup ' || account.id || ' ' || request);
  if request is null then
    txn := gen_random_uuid();
  elsif not exists (select from tandem.ledger_entry e
                     where e.id = tandem.posting_id_v1(txn || ' cash') and e.account_id = account.parent_id) then
    txn := tandem.posting_id_v1('topup ' || account.id || ' of ' || account.parent_id || ' ' || request);
  end if;
  fund_id := tandem.posting_id_v1(txn || ' fund');
  other_id := tandem.posting_id_v1(txn || ' cash');
  amount := case kind when 'debit' then -amount else amount end;
  currency := coalesce(move_v1.currency, account.currency);
  -- Locked before the look for an earlier answer: of the same request twice at once the second finds what the first has posted.
  perform from tandem.fund_credit c where c.account_id = account.id and c.currency = move_v1.currency for update;
  if not found then
    raise foreign_key_violation using message = format('account %s %L has no fund in %s; it pays in %s',
      account.id, account.name, move_v1.currency, account.currency);
  elsif not exists (select from tandem.ledger_entry e where e.id = fund_id) then  -- else: asked again, the answer is the same
    if account.status = 'closed' and amount > 0 then
      raise check_violation using message = format('account %s %L is closed', account.id, account.name);
    end if;
    perform tandem.check_overcommit(account, move_v1.currency, amount);
    insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, note, actor)
    values
      (fund_id, txn, account.id, 'fund', move_v1.currency, amount, 'pg', move_v1.note, who),
      (other_id, txn, account.parent_id, other, move_v1.currency, -amount, 'pg', move_v1.note, who)
    on conflict (id) do nothing;
    perform tandem.check_thresholds_v1(jsonb_build_array(jsonb_build_object('account_id', account.id, 'currency', move_v1.currency)));
  end if;
  select f.amount_micros, f.currency, o.book into earlier
    from tandem.ledger_entry f, tandem.ledger_entry o where f.id = fund_id and o.id = other_id;
  if (earlier.amount_micros, earlier.currency, earlier.book) is distinct from (amount, move_v1.currency, other) then
    raise unique_violation using message = format('request %L moved %s %s before, not %s %s as a %s', request,
      (earlier.amount_micros / 1000000.0)::numeric(20, 6), earlier.currency, (amount / 1000000.0)::numeric(20, 6), move_v1.currency, kind);
  end if;
  return txn;
end $$;
comment on function tandem.move_v1 is 'Move money between an account and its parent by a ledger transaction; idempotent by request.';
revoke execute on function tandem.move_v1 from public;
grant execute on function tandem.move_v1 to tandem_tool, tandem_tenant;
