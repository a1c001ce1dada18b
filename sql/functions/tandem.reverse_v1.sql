-- Takes a transaction of the ledger back by posting the exact opposite; the only way to correct one.
-- txn: not a reversal itself, and not reversed yet. note, actor: why and who, for people.
-- as_adjustment: also what a call was charged is given back then, as origin pg: what Redis charged stays in its sum, and the
-- credit grows instead. The entries name no call, so a late end of it neither sees nor undoes them.
-- A closed account, and one below a closed one, can only be paid out: a reversal that would credit it is refused. That of a
-- debit is not bounded by overcommit_pct: what was taken by mistake is given back.
-- What an account that moved brought along is no such transaction.
-- A tenant sees all accounts of the transaction, and did so then; it has none of its own fund. It has the right money, for a
-- payment to a carrier carriers_own. Returns the new transaction. Locks the sums of its funds until commit; looks at their thresholds.
-- Called by `tandem account`.
set local role tandem_owner;

create or replace function tandem.reverse_v1(txn uuid, note text, actor text, as_adjustment boolean default false)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  tenant   bigint := case when not tandem.is_platform() then tandem.acting_account_v1() end;
  who      constant text := case when tandem.is_platform() then reverse_v1.actor else tandem.actor() end;  -- a tenant's own word is none
  made     uuid := tandem.posting_id_v1('reversal ' || txn);
  of_call  text;
  closed   record;
  reversal uuid;
begin
  perform from tandem.account a where a.id in (select e.account_id from tandem.ledger_entry e where e.txn_id = reverse_v1.txn)
   order by a.id for key share;  -- no move of them meanwhile
  select max(e.rid), max(e.reverses::text)::uuid into of_call, reversal from tandem.ledger_entry e where e.txn_id = reverse_v1.txn having count(*) > 0;
  if not found or exists (
    select from tandem.ledger_entry e
     where e.txn_id = reverse_v1.txn
       and not (tandem.acting_saw(e.account_id, e.posted_at)  -- what is posted late is of the time of its call
                and tandem.acting_saw(e.account_id, (select c.started_at from tandem.cdr c where c.rid = e.rid))))
  then
    raise foreign_key_violation using message = format('there is no transaction %s', reverse_v1.txn);
  elsif exists (select from tandem.ledger_entry e where e.txn_id = reverse_v1.txn and e.book = 'fund' and e.account_id = tenant) then
    raise insufficient_privilege using message = format('transaction %s is of the account itself: one above it reverses it', reverse_v1.txn);
  elsif reversal is not null then
    raise check_violation using message = format('transaction %s is a reversal itself; post the movement again instead', reverse_v1.txn);
  elsif exists (select from tandem.ledger_entry e where e.txn_id = made) then
    raise unique_violation using message = format('transaction %s is reversed already, by %s', reverse_v1.txn, made);
  elsif coalesce(btrim(reverse_v1.note), '') = '' or coalesce(btrim(reverse_v1.actor), '') = '' then
    raise check_violation using message = 'a reversal says why and by whom';
  elsif of_call is not null and not as_adjustment then
    raise check_violation using message = format(
      'transaction %s is of call %s, whose charges stand in Redis too: it can only be given back as an adjustment', reverse_v1.txn, of_call);
  end if;
  if not exists (select from tandem.ledger_entry e where e.txn_id = reverse_v1.txn and e.book <> 'cash') then
    raise check_violation using message = format(
      'transaction %s is the balance that came along with an account that moved: move the account back instead', reverse_v1.txn);
  end if;
  perform tandem.demand(case when exists (select from tandem.ledger_entry e where e.txn_id = reverse_v1.txn and e.book = 'carrier')
                             then 'carriers_own' else 'money' end);
  select a.id, a.name, above.id as closed_id, above.name as closed_name into closed
    from (select e.account_id from tandem.ledger_entry e where e.txn_id = reverse_v1.txn and e.book = 'fund'
           group by e.account_id, e.currency having sum(e.amount_micros) < 0) as credited
    join tandem.account a on a.id = credited.account_id
    cross join tandem.chain(a.id) as link
    join tandem.account above on above.id = link.account_id and above.status = 'closed'
   order by link.distance limit 1;
  if found then
    raise check_violation using message = format(
      'the reversal would credit account %s %L, and %s: it can only be paid out, by adjust', closed.id, closed.name,
      case when closed.id = closed.closed_id then 'it is closed' else format('account %s %L above it is closed', closed.closed_id, closed.closed_name) end);
  end if;
  insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, group_id, reverses, note, actor)
  select tandem.posting_id_v1('reversal ' || e.id), made, e.account_id, e.book, e.currency, -e.amount_micros, 'pg', e.group_id, e.txn_id,
         reverse_v1.note, who
    from tandem.ledger_entry e where e.txn_id = reverse_v1.txn order by e.id;
  perform tandem.check_thresholds_v1((
    select coalesce(jsonb_agg(distinct jsonb_build_object('account_id', e.account_id, 'currency', e.currency)), '[]')
      from tandem.ledger_entry e where e.txn_id = made and e.book = 'fund'));
  return made;
end $$;
comment on function tandem.reverse_v1 is 'Post the exact opposite of a transaction, once.';
revoke execute on function tandem.reverse_v1 from public;
grant execute on function tandem.reverse_v1 to tandem_tool, tandem_tenant;
