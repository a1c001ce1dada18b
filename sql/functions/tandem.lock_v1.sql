-- Locks or unlocks an account with all below it; the only way to lower a lock.
-- account_id: which one. lock: none, foreign, outgoing, all, global. actor, note: who and why, for people; the audit has
-- the note, and the actor as the platform says it: of a tenant the one that its transaction acts for.
-- A tenant locks accounts which it sees below itself; it neither lowers nor restates what one above it has said, which stays that one's
-- also where it is made stronger. Returns the lock before. Locks the account's row until commit.
-- Called by `tandem account lock` and `unlock`.
set local role tandem_owner;

create or replace function tandem.lock_v1(account_id bigint, lock text, actor text, note text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  before text;
  acting text := current_setting('tandem.actor', true);
begin
  perform tandem.admit(lock_v1.account_id, below => true);
  select a.lock into before from tandem.account a where a.id = lock_v1.account_id for no key update;
  if not found then
    raise foreign_key_violation using message = format('account %s does not exist', lock_v1.account_id);
  end if;
  perform tandem.admit(lock_v1.account_id, below => true);  -- a move may have ended while the lock was waited for
  if lock_v1.lock is null or tandem.lock_rank(lock_v1.lock) is null then
    raise check_violation using message = format('%L is none of none, foreign, outgoing, all, global', lock_v1.lock);
  elsif coalesce(btrim(lock_v1.note), '') = '' or coalesce(btrim(lock_v1.actor), '') = '' then
    raise check_violation using message = 'a lock says why and by whom';
  end if;
  if tandem.is_held(lock_v1.account_id, 'lock') and tandem.lock_rank(lock_v1.lock) <= tandem.lock_rank(before) then
    raise insufficient_privilege using message = format(
      'account %s was locked by one above this one: that one, or one above it, lowers its lock', lock_v1.account_id);
  end if;
  if tandem.is_platform() then  -- a tenant's own word is none for the audit
    perform set_config('tandem.actor', lock_v1.actor, true);
  end if;
  update tandem.account a set lock = lock_v1.lock, lock_note = lock_v1.note where a.id = lock_v1.account_id;
  if lock_v1.lock <> 'none' then
    perform tandem.note_hold(lock_v1.account_id, 'lock');
  end if;
  perform set_config('tandem.actor', coalesce(acting, ''), true);
  return before;
end $$;
comment on function tandem.lock_v1 is 'Lock or unlock an account; returns the lock before.';
revoke execute on function tandem.lock_v1 from public;
grant execute on function tandem.lock_v1 to tandem_tool, tandem_tenant;
