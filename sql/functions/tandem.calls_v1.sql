-- The calls of an account that ended from `since` on and before `until`, as the acting account may read them; by end and rid.
-- of_account: one that it sees, the root included if it is the root. All of the account's calls are here: those of the lines below it
-- today, and those that it paid a part of, so that paid, sold and cost sum to what the ledger has for these calls, to the micro.
-- Of an account that came to be seen by a move, only calls that began since; such a call may still be one that the account paid a part of.
--   whose line the reader sees: all of the call, but for who hides from the called
--   whose line stands deeper:  what it cost, where to or where from; never a number or a name of the line's side
-- A call is said to be of the nearest account that the reader sees and saw then: of one from before a move, of whom the reader saw pay it.
-- Prices: what the account paid, what those directly below it paid it, what its own carriers charge it; of another account's only
-- payments between two that the reader sees, and saw when the call began. Carriers by name: those of
-- accounts that are seen; of those above only with the right carriers_seen. No trace and no attempts: they name what is above.
-- Compiling the query would take longer than a thousand calls. Returns no row twice. An account that is not seen: the error for one that is not there. Locks nothing. Called by `tandem report`.
set local role tandem_owner;

create or replace function tandem.calls_v1(of_account bigint, since timestamptz, until timestamptz)
returns table (
  rid text, call_id text, started_at timestamptz, answered_at timestamptz, ended_at timestamptz, direction text,
  account_id bigint, account text, source text, caller text, callee text, outcome text, sip_status integer, reason text,
  q850 integer, ended_by text, talk_ms bigint, billed_s integer, prefix text, carrier_id bigint, carrier text, pdd_ms integer,
  paid jsonb, sold jsonb, cost jsonb
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off rows 10000
as $$
#variable_conflict use_column
declare
  viewer       constant bigint := tandem.acting_account_v1();
  root_id      constant bigint := (select a.id from tandem.account a where a.kind = 'root');
  is_root      constant boolean := coalesce(viewer = root_id, false);
  is_own       constant boolean := is_root or viewer = of_account;
  may_see_all  constant boolean := is_root or tandem.has_right(viewer, 'carriers_seen');
  uppers       constant bigint[] := array(select link.account_id from tandem.chain(viewer) as link where link.distance > 0);
  told_from    constant timestamptz := coalesce(
    (select v.since from tandem.visibility v where v.viewer_id = viewer and v.account_id = of_account), '-infinity');
  began        constant timestamptz := greatest(calls_v1.since - interval '2 days', told_from);
begin
  if not is_root and not exists (
       select from tandem.visibility v where v.viewer_id = viewer and v.account_id = of_account)
     or not exists (select from tandem.account a where a.id = of_account) then
    raise foreign_key_violation using message = format('account %s does not exist', of_account);
  end if;
  return query
  with recursive scope as (  -- the account and all below it, each with the nearest one above it that the reader sees
    select of_account as id, of_account as shown_id, told_from as shown_since
    union all
    select a.id, case when is_root or v.account_id is not null then a.id else s.shown_id end,
           case when is_root then '-infinity' when v.account_id is not null then coalesce(v.since, '-infinity') else s.shown_since end
      from scope s
      join tandem.account a on a.parent_id = s.id
      left join tandem.visibility v on v.viewer_id = viewer and v.account_id = a.id
  ), found as (  -- a call lasts a day at most and rings an hour, so it began in the two days before it ended
    select c.* from tandem.cdr c
     where c.started_at >= began and c.started_at < until and c.ended_at >= since and c.ended_at < until
       and of_account = root_id
    union all
    select c.* from scope s join tandem.cdr c on c.account_id = s.id
     where c.started_at >= began and c.started_at < until and c.ended_at >= since and c.ended_at < until
       and of_account <> root_id
    union all  -- what others called here, and calls of accounts that have moved away since; from the calls of that time, as the
    select c.* from tandem.cdr c  -- account's payments since an old day may be millions
     where c.started_at >= began and c.started_at < until and c.ended_at >= since and c.ended_at < until
       and exists (select from tandem.cdr_leg l
                    where l.rid = c.rid and l.payer_id = of_account and l.created_at >= since - interval '1 day')  -- written after the end
       and not exists (select from scope s where s.id = c.account_id) and of_account <> root_id
  ), sided as (
    select c.*, x.*, p.*, t.top,
           case when c.direction = 'in' then c.account_id when c.direction = 'internal' then x.called_payer_id end as called_id
      from found c
      cross join lateral (  -- the called number's levels stand behind the first payment to the root
        select min(l.level) filter (where l.payee_id = root_id) as top
          from tandem.cdr_leg l where l.rid = c.rid and l.book = 'fund' and c.direction = 'internal') as t
      cross join lateral (
        select (array_agg(l.payer_id order by l.level) filter (where l.level > t.top))[1] as called_payer_id,
               coalesce(bool_or(l.payer_id = of_account and c.direction <> 'in' and (t.top is null or l.level <= t.top)), false)
                 as pays_out,
               coalesce(bool_or(l.payer_id = of_account and (c.direction = 'in' or l.level > t.top)), false) as pays_in,
               (array_agg(l.prefix order by (l.payer_id = of_account) desc, l.level)
                 filter (where of_account in (l.payer_id, l.payee_id)))[1] as own_prefix
          from tandem.cdr_leg l where l.rid = c.rid and l.book = 'fund') as x
      cross join lateral (
        select (array_agg(a.pdd_ms order by a.n desc) filter (where a.pdd_ms is not null))[1] as rang_ms
          from tandem.cdr_attempt a where a.rid = c.rid) as p
  ), seen as (
    select c.*, is_root or (c.direction <> 'in' and up.account_id is not null) as sees_caller,
           is_root or down.account_id is not null as sees_called
      from sided c
      left join tandem.visibility up on up.viewer_id = viewer and up.account_id = c.account_id and c.started_at >= coalesce(up.since, '-infinity')
      left join tandem.visibility down on down.viewer_id = viewer and down.account_id = c.called_id and c.started_at >= coalesce(down.since, '-infinity')
  )
  select c.rid,
         case when c.sees_caller or c.sees_called then c.call_id else '' end,
         c.started_at, c.answered_at, c.ended_at,
         case when c.direction = 'internal' and not (c.sees_caller or c.pays_out) then 'in' else c.direction end,
         coalesce(whose.id, 0), coalesce(whose.name::text, ''),
         case when c.sees_caller then c.source else '' end,
         case when c.sees_caller then c.caller
              when not (c.sees_called or c.pays_in) then ''
              when c.hidden then 'anonymous' else c.caller end,
         case when c.sees_caller or c.sees_called or c.pays_out then c.callee else '' end,
         c.outcome, c.sip_status,
         case when not (c.sees_caller or (c.direction = 'in' and c.sees_called)) then ''
              -- Told alike to the caller: why the called cannot be reached is not his affair.
              when not c.sees_called and c.reason in ('offline', 'called_suspended', 'called_unavailable') then 'called_unavailable'
              else c.reason end,
         c.q850, c.ended_by, c.talk_ms, c.billed_s, coalesce(c.own_prefix, ''),
         coalesce(via.id, 0), coalesce(via.name::text, ''), c.rang_ms,
         coalesce(own.paid, '{}'), coalesce(below.sold, '{}'), coalesce(carriers.cost, '{}')
    from seen c
    left join scope out_of on out_of.id = c.account_id and c.direction <> 'in'
    left join scope into_it on into_it.id = c.called_id
    left join lateral (  -- whose the call was for the reader before the account moved: the nearest that paid it and was seen then
      select l.payer_id as id
        from tandem.cdr_leg l
        join tandem.visibility v on v.viewer_id = viewer and v.account_id = l.payer_id and c.started_at >= coalesce(v.since, '-infinity')
       where l.rid = c.rid and l.book = 'fund' and (out_of.id is null) = (c.direction = 'in' or coalesce(l.level > c.top, false))
         and c.started_at < coalesce(out_of.shown_since, into_it.shown_since)
       order by l.level limit 1) as was on true
    left join tandem.account whose on whose.id = case when c.started_at < coalesce(out_of.shown_since, into_it.shown_since) then was.id
                                                      else coalesce(out_of.shown_id, into_it.shown_id) end
    left join tandem.peering_group via on via.id = c.group_id and (c.sees_caller or c.pays_out) and (
      is_root or (may_see_all and via.account_id = any (uppers))
      or exists (select from tandem.visibility v where v.viewer_id = viewer and v.account_id = via.account_id))
    cross join lateral (
      select jsonb_object_agg(l.currency, l.micros) as paid from (
        select coalesce(l.fund_currency, l.currency) as currency, sum(coalesce(l.charged_micros, l.price_micros)) as micros
          from tandem.cdr_leg l
         where l.rid = c.rid and l.book = 'fund' and l.payer_id = of_account
           and (is_own or exists (select from tandem.visibility v where v.viewer_id = viewer and v.account_id = l.payee_id
                                    and c.started_at >= coalesce(v.since, '-infinity')))
         group by 1) as l) as own
    cross join lateral (
      select jsonb_object_agg(l.currency, l.micros) as sold from (
        select l.currency, sum(l.price_micros) as micros
          from tandem.cdr_leg l
         where l.rid = c.rid and l.book = 'fund' and l.payee_id = of_account
           and (is_own or exists (select from tandem.visibility v where v.viewer_id = viewer and v.account_id = l.payer_id
                                    and c.started_at >= coalesce(v.since, '-infinity')))
         group by 1) as l) as below
    cross join lateral (
      select jsonb_object_agg(l.currency, l.micros) as cost from (
        select l.currency, sum(l.price_micros) as micros
          from tandem.cdr_leg l where l.rid = c.rid and l.book = 'cost' and l.payer_id = of_account and is_own group by 1) as l)
      as carriers
   where c.sees_caller or c.sees_called or c.pays_out or c.pays_in
   order by c.ended_at, c.rid;
end $$;
comment on function tandem.calls_v1 is
  'Calls of an account that ended in a time, masked for the acting account; what it paid, was paid and owes carriers, per currency.';
revoke execute on function tandem.calls_v1 from public;
grant execute on function tandem.calls_v1 to tandem_tool, tandem_tenant;
