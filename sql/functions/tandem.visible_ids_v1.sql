-- Every account that the acting account sees: itself, its children, and deeper while every account between shares.
-- Returns an array for `account_id = any ((select tandem.visible_ids_v1())::bigint[])`, which is asked once per statement.
-- The root sees all. Unset acting account: error. Locks nothing. Called by reports and by row policies.
set local role tandem_owner;

create or replace function tandem.visible_ids_v1() returns bigint[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  viewer bigint := tandem.acting_account_v1();
begin
  if exists (select from tandem.account a where a.id = viewer and a.kind = 'root') then
    return array(select a.id from tandem.account a order by a.id);
  end if;
  return array(select v.account_id from tandem.visibility v where v.viewer_id = viewer order by v.account_id);
end $$;
comment on function tandem.visible_ids_v1 is 'Ids of the accounts that the acting account sees.';
revoke execute on function tandem.visible_ids_v1 from public;
grant execute on function tandem.visible_ids_v1 to tandem_tool, tandem_tenant, tandem_settle, tandem_sync;
