-- Whoever calls are billed to stays. A call in progress is in no table here: what it costs arrives when it ends, and then
-- its accounts, funds and carrier must be there.
set local role tandem_owner;

revoke delete on tandem.account, tandem.fund, tandem.peering_group from tandem_tool;

alter table tandem.account add column closed_at timestamptz;
comment on column tandem.account.closed_at is 'When it was closed; null = it is not.';
update tandem.account set closed_at = now() where status = 'closed';
alter table tandem.peering_group add column disabled_at timestamptz;
comment on column tandem.peering_group.disabled_at is 'When it was disabled; null = it is not.';
update tandem.peering_group set disabled_at = now() where not enabled;

create function tandem.note_closed() returns trigger
language plpgsql
as $$
begin
  new.closed_at := case when new.status = 'closed' then coalesce(new.closed_at, now()) end;
  return new;
end $$;
comment on function tandem.note_closed is 'Trigger: a closed account says since when.';
create trigger note_closed before insert or update of status on tandem.account
  for each row execute function tandem.note_closed();

create function tandem.note_disabled() returns trigger
language plpgsql
as $$
begin
  new.disabled_at := case when not new.enabled then coalesce(new.disabled_at, now()) end;
  return new;
end $$;
comment on function tandem.note_disabled is 'Trigger: a disabled carrier says since when.';
create trigger note_disabled before insert or update of enabled on tandem.peering_group
  for each row execute function tandem.note_disabled();

create function tandem.is_long_ago(since timestamptz) returns boolean
language sql stable
return coalesce(since < now() - interval '30 days', false);
comment on function tandem.is_long_ago is 'True when the last call of what ended then is posted, or counted as lost: 30 days. No call and no event waits so long.';

create function tandem.keep_posted() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from tandem.ledger_entry e where e.account_id = old.id) then
    raise foreign_key_violation using message = format('account %s %L has entries in the ledger and cannot be deleted; close it', old.id, old.name);
  elsif not tandem.is_long_ago(old.closed_at) then
    raise foreign_key_violation using message =
      format('account %s %L may have calls that are not posted yet and cannot be deleted; close it, and wait 30 days', old.id, old.name);
  end if;
  return null;
end $$;
comment on function tandem.keep_posted is 'Trigger: an account of the ledger is not deleted, nor one that may still come into it.';
create trigger keep_posted after delete on tandem.account for each row execute function tandem.keep_posted();

create function tandem.keep_posted_fund() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from tandem.account a where a.id = old.account_id) then
    raise foreign_key_violation using message =
      format('fund %s:%s cannot be deleted: calls that are not posted yet may be paid by it; it goes with its account', old.account_id, old.currency);
  end if;
  return null;
end $$;
comment on function tandem.keep_posted_fund is 'Trigger: a fund is deleted only with its account, which then has no entries.';
create trigger keep_posted_fund after delete on tandem.fund for each row execute function tandem.keep_posted_fund();

create function tandem.keep_owed_group() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  owed record;
begin
  select o.owed_micros, o.currency into owed from tandem.carrier_owed o where o.group_id = old.id and o.owed_micros <> 0 limit 1;
  if found then
    raise foreign_key_violation using message = format('peering group %s %L: %s micros %s are open with it; disable it instead of deleting it',
      old.id, old.name, owed.owed_micros, owed.currency);
  elsif not tandem.is_long_ago(old.disabled_at) then
    raise foreign_key_violation using message =
      format('peering group %s %L may have calls that are not posted yet and cannot be deleted; disable it, and wait 30 days', old.id, old.name);
  end if;
  return null;
end $$;
comment on function tandem.keep_owed_group is 'Trigger: a carrier with an open account is not deleted, nor one that may still get one.';
create trigger keep_owed_group after delete on tandem.peering_group
  for each row execute function tandem.keep_owed_group();

-- A cap counts what is owed in the deck's currency; so nothing may be owed in another one.
create function tandem.keep_deck_currency() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  owed   record;
  priced text;
begin
  select t.currency into priced from tandem.tariff t where t.id = new.tariff_id;
  select o.owed_micros, o.currency into owed
    from tandem.carrier_owed o where o.group_id = new.id and o.currency <> priced and o.owed_micros <> 0 limit 1;
  if found then
    raise check_violation using message = format(
      'peering group %s %L: %s micros %s are open with it and its caps count them; settle them before its deck is in %s, or make another group',
      new.id, new.name, owed.owed_micros, owed.currency, priced);
  end if;
  return new;
end $$;
comment on function tandem.keep_deck_currency is 'Trigger: a deck in another currency comes when nothing is owed in the former one.';
create trigger keep_deck_currency before update of tariff_id on tandem.peering_group
  for each row when (old.tariff_id <> new.tariff_id) execute function tandem.keep_deck_currency();
