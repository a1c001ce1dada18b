-- Retires rate sets that nothing has named for `after`: they leave Redis and stay here. At most 50 at once.
-- A call that began by such a set has pinned its prices. Returns how many; the outbox is told of each.
-- Called by `tandem sync` every minute, in a transaction of its own that is READ COMMITTED.
set local role tandem_owner;

create or replace function tandem.retire_rate_sets_v1(after interval default '10 minutes') returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  unused  bigint[] := array(select u from tandem.unused_rate_sets() as u);
  due     bigint[];
  retired integer;
begin
  delete from tandem.rate_set_unused u where u.rate_set_id <> all (unused);
  insert into tandem.rate_set_unused(rate_set_id) select u from unnest(unused) as u on conflict do nothing;
  due := array(select s.id from tandem.rate_set s join tandem.rate_set_unused u on u.rate_set_id = s.id
                where u.since <= now() - after order by s.id limit 50 for update of s);
  if due = '{}' then
    return 0;
  end if;
  unused := array(select u from tandem.unused_rate_sets() as u);  -- what has been named before the locks were ours
  update tandem.rate_set s set retired = true where s.id = any (due) and s.id = any (unused);
  get diagnostics retired = row_count;
  delete from tandem.rate_set_unused u where u.rate_set_id = any (due);
  return retired;
end $$;
comment on function tandem.retire_rate_sets_v1 is 'Let rate sets that nothing names leave Redis; returns how many.';
revoke execute on function tandem.retire_rate_sets_v1 from public;
grant execute on function tandem.retire_rate_sets_v1 to tandem_sync;
