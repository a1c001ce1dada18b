-- What carriers did for the calls of an account that ended from `since` on and before `until`: a row per try at a carrier that the
-- acting account may see by name; and one per call, with an empty name, that none of these took, or that went to no carrier.
-- of_account, since, until: as of tandem.calls_v1, which says what is seen. How often carriers above were tried is not told.
-- answered: that carrier took the call; talk_ms, billed_s: of the call, 0 where another one took it. A try that was not made, because
-- the server had enough calls, is none, nor is one that only named another server. Locks nothing. Called by `tandem report traffic --by carrier`.
set local role tandem_owner;

create or replace function tandem.tries_v1(of_account bigint, since timestamptz, until timestamptz)
returns table (
  rid text, ended_at timestamptz, direction text, account text, prefix text, carrier_id bigint, carrier text, answered boolean,
  talk_ms bigint, billed_s integer, pdd_ms integer
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off rows 10000
as $$
#variable_conflict use_column
declare
  viewer  constant bigint := tandem.acting_account_v1();
  is_root constant boolean := exists (select from tandem.account a where a.id = viewer and a.kind = 'root');
  is_told constant boolean := is_root or tandem.has_right(viewer, 'carriers_seen');
  uppers  constant bigint[] := array(select link.account_id from tandem.chain(viewer) as link where link.distance > 0);
begin
  return query
  with calls as (
    select c.* from tandem.calls_v1(of_account, since, until) as c
  ), shown as (
    select g.id, g.name::text as name from tandem.peering_group g
     where is_root or (is_told and g.account_id = any (uppers))
        or exists (select from tandem.visibility v where v.viewer_id = viewer and v.account_id = g.account_id)
  ), tried as (
    select c.*, g.id as group_id, g.name, a.status / 100 = 2 as took_it, a.pdd_ms as rang_ms
      from calls c
      cross join lateral (  -- the offset keeps Postgres from reading the tries of all times for those of a day
        select a.* from tandem.cdr_attempt a where a.rid = c.rid and a.why not in ('channels', 'cps', 'redirect') offset 0) as a
      join tandem.peering_server s on s.id = a.server_id
      join shown g on g.id = s.group_id
     where c.direction <> 'in'
  )
  select t.rid, t.ended_at, t.direction, t.account, t.prefix, t.group_id, t.name, t.took_it,
         case when t.took_it then t.talk_ms else 0 end, case when t.took_it then t.billed_s else 0 end, t.rang_ms
    from tried t
  union all
  select c.rid, c.ended_at, c.direction, c.account, c.prefix, 0::bigint, '', c.answered_at is not null, c.talk_ms, c.billed_s, c.pdd_ms
    from calls c left join (select t.rid, bool_or(t.took_it) as was_taken from tried t group by t.rid) as t on t.rid = c.rid
   where t.rid is null or (c.answered_at is not null and not t.was_taken);
end $$;
comment on function tandem.tries_v1 is 'Tries at the carriers that the acting account sees by name, for the calls of an account that ended in a time.';
revoke execute on function tandem.tries_v1 from public;
grant execute on function tandem.tries_v1 to tandem_tool, tandem_tenant;
