-- Money that the owner of a carrier pays it: carrier −, cash of the owner +. More than is owed is a payment in advance.
-- group_id: the carrier. micros: whole, plus. note, actor: why and who, for people. request: a name of the wish; the same one
-- again changes nothing; null = a new wish. currency: null = its deck's; another one pays
-- what calls have cost by a former deck. Returns the transaction; origin pg.
-- A tenant has the right carriers_own, and sees the owner. Locks the carrier's sum until commit, and may open the carrier
-- for calls again. Called by `tandem carrier pay`.
set local role tandem_owner;

create or replace function tandem.pay_carrier_v1(group_id bigint, micros numeric, note text, actor text,
                                                 request text default null, currency text default null)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  carrier    tandem.peering_group;
  amount     bigint := tandem.whole_micros(pay_carrier_v1.micros);
  txn        uuid := case when request is null then gen_random_uuid()
                          else tandem.posting_id_v1('pay carrier ' || pay_carrier_v1.group_id || ' ' || request) end;
  carrier_id uuid := tandem.posting_id_v1(txn || ' carrier');
  who        constant text := case when tandem.is_platform() then pay_carrier_v1.actor else tandem.actor() end;  -- a tenant's own word is none
  earlier    record;
begin
  perform from tandem.account a join tandem.peering_group g on g.account_id = a.id
    where g.id = pay_carrier_v1.group_id for key share of a;  -- no move of it meanwhile
  select * into carrier from tandem.peering_group g where g.id = pay_carrier_v1.group_id;
  if not found or not tandem.acting_sees(carrier.account_id) then
    raise foreign_key_violation using message = format('there is no peering group %s', pay_carrier_v1.group_id);
  elsif amount < 0 then
    raise check_violation using message = format('a payment of %s: its amount is positive; reverse a wrong one', (amount / 1000000.0)::numeric(20, 6));
  elsif coalesce(btrim(pay_carrier_v1.note), '') = '' or coalesce(btrim(pay_carrier_v1.actor), '') = '' then
    raise check_violation using message = 'a payment says why and by whom';
  end if;
  perform tandem.demand('carriers_own');
  currency := coalesce(pay_carrier_v1.currency, (select t.currency from tandem.tariff t where t.id = carrier.tariff_id));
  insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, group_id, note, actor)
  values
    (carrier_id, txn, carrier.account_id, 'carrier', pay_carrier_v1.currency, -amount, 'pg', carrier.id, pay_carrier_v1.note, who),
    (tandem.posting_id_v1(txn || ' cash'), txn, carrier.account_id, 'cash', pay_carrier_v1.currency, amount, 'pg', carrier.id,
     pay_carrier_v1.note, who)
  on conflict (id) do nothing;
  select e.amount_micros, e.currency into earlier from tandem.ledger_entry e where e.id = carrier_id;
  if (earlier.amount_micros, earlier.currency) is distinct from (-amount, pay_carrier_v1.currency) then
    raise unique_violation using message = format('request %L paid %s %s before, not %s %s', request,
      (-earlier.amount_micros / 1000000.0)::numeric(20, 6), earlier.currency, (amount / 1000000.0)::numeric(20, 6), pay_carrier_v1.currency);
  end if;
  return txn;
end $$;
comment on function tandem.pay_carrier_v1 is 'Pay a carrier by a ledger transaction; idempotent by request.';
revoke execute on function tandem.pay_carrier_v1 from public;
grant execute on function tandem.pay_carrier_v1 to tandem_tool, tandem_tenant;
