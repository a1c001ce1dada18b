-- Has values of Redis written again, by the next pass that may: what the sync itself finds to be due.
-- kind: name of a view of schema sync. names: of rows there; one that does not exist is removed from Redis.
set local role tandem_owner;

create or replace function tandem.renew_v1(kind text, names text[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
  insert into tandem.outbox(kind, key) select renew_v1.kind, name from unnest(names) as name;
end;
comment on function tandem.renew_v1 is 'Put rows of a sync view into the outbox.';
revoke execute on function tandem.renew_v1 from public;
grant execute on function tandem.renew_v1 to tandem_sync;
