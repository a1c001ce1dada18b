-- For whom, and by whom, this transaction acts.
-- account_id: the acting account; its visibility is what tandem.visible_ids_v1 gives. actor: person or tool, for the audit.
-- Lasts until the end of the transaction. Locks nothing. Called by every tool before it touches tenants' rows, and before it
-- becomes tandem_tenant: a tenant cannot become another one.
set local role tandem_owner;

create or replace function tandem.act_as_v1(account_id bigint, actor text) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from tandem.account a where a.id = act_as_v1.account_id) then
    raise foreign_key_violation using message = format('account %s does not exist', act_as_v1.account_id);
  elsif coalesce(actor, '') = '' then
    raise check_violation using message = 'an actor has a name';
  end if;
  perform set_config('tandem.acting_account', act_as_v1.account_id::text, true);
  perform set_config('tandem.actor', actor, true);
end $$;
comment on function tandem.act_as_v1 is 'Set the acting account and the actor for this transaction.';
revoke execute on function tandem.act_as_v1 from public;
grant execute on function tandem.act_as_v1 to tandem_tool, tandem_settle, tandem_sync;
