-- The account that this transaction acts for, as set by tandem.act_as_v1.
-- Returns its id. Unset is an error, never "sees nothing": an export of nothing, applied elsewhere, deletes a world.
-- Locks nothing. Called by tandem.visible_ids_v1 and by row policies.
set local role tandem_owner;

create or replace function tandem.acting_account_v1() returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  account_id bigint := nullif(current_setting('tandem.acting_account', true), '')::bigint;
begin
  if account_id is null then
    raise insufficient_privilege using message = 'no acting account is set in this transaction: call tandem.act_as_v1 first';
  end if;
  return account_id;
end $$;
comment on function tandem.acting_account_v1 is 'The account that this transaction acts for; an error when none is set.';
