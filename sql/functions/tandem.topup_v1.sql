-- Money that an account pays its parent outside of calls, or gets back: tandem.move_v1 with the sign as the kind.
-- account_id: not the root. amount_micros: in the account's currency; plus credits the account, minus debits it.
-- note, actor, request, result, locks: as in tandem.move_v1. Called by `tandem account topup` and the seeds.
set local role tandem_owner;

create or replace function tandem.topup_v1(account_id bigint, amount_micros bigint, note text, actor text, request text default null)
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return tandem.move_v1(account_id, amount_micros, case when amount_micros < 0 then 'adjust' else 'topup' end, note, actor, request);
end $$;
comment on function tandem.topup_v1 is 'Credit (or debit) an account by a ledger transaction; idempotent by request.';
revoke execute on function tandem.topup_v1 from public;
grant execute on function tandem.topup_v1 to tandem_tool, tandem_tenant;
