-- Raises an alert for each threshold that these funds have crossed, once per crossing, and locks where a threshold says so.
-- funds: [{account_id, currency, at_ms, refused}, …]; at_ms: Unix time of what was spent, which says which day and month to
-- look at, absent = now; refused: day or month, where the fund's spend cap has refused a call then: the cap counts as
-- reached, for what calls in progress hold is spent too, and what is posted stays below it; absent = no call was refused.
-- More fields are ignored, so what tandem.count_spend_v1 got will do. Returns how many alerts were raised.
-- A balance (as posted) is armed again as soon as it is not below its threshold; a spend in each day or month anew.
-- Locks the states of the funds' thresholds of balance until commit: two that change one balance take turns, and the later
-- one sees both changes. Called by tandem.move_v1, tandem.reverse_v1 and, after posting, by `tandem settle`.
set local role tandem_owner;

create or replace function tandem.check_thresholds_v1(funds jsonb) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  ids    bigint[];
  before text := current_setting('tandem.actor', true);
  raised integer := 0;
  hit    record;
begin
  select array_agg(t.id) into ids from tandem.threshold t
   where (t.account_id, t.currency) in (
     select f.account_id, f.currency from jsonb_to_recordset(funds) as f(account_id bigint, currency text));
  if ids is null then
    return 0;
  end if;
  perform from tandem.threshold_state s where s.threshold_id = any (ids) order by s.threshold_id for update;
  for hit in
    with balance as (
      update tandem.threshold_state s set is_crossed = not s.is_crossed
        from tandem.threshold t
        join tandem.fund_credit c using (account_id, currency)
        join tandem.fund_charge g using (account_id, currency)
       where s.threshold_id = any (ids) and t.id = s.threshold_id and t.kind = 'balance'
         and (c.cred_micros - g.charged_micros < t.amount_micros) <> s.is_crossed
      returning t.id, t.account_id, t.currency, t.kind, t.amount_micros, c.cred_micros - g.charged_micros as value, null::integer as window_id,
                s.is_crossed
    ), touched as (
      select distinct f.account_id, f.currency, f.refused,
             (coalesce(to_timestamp(f.at_ms / 1000.0), now()) at time zone a.timezone)::date as day
        from jsonb_to_recordset(funds) as f(account_id bigint, currency text, at_ms bigint, refused text)
        join tandem.account a on a.id = f.account_id
    ), spent as (
      select distinct t.id, t.account_id, t.currency, t.kind, t.amount_micros, coalesce(w.spent_micros, 0) as spent_micros, here.window_id
        from touched d
        join tandem.threshold t on t.account_id = d.account_id and t.currency = d.currency and t.kind <> 'balance'
        join tandem.fund f on f.account_id = d.account_id and f.currency = d.currency
        cross join lateral (select to_char(d.day, case t.kind when 'day' then 'YYYYMMDD' else 'YYYYMM' end)::integer as window_id) as here
        left join tandem.fund_window w
          on w.account_id = d.account_id and w.currency = d.currency and w.kind = t.kind and w.window_id = here.window_id
       where w.spent_micros >= t.amount_micros
          or (d.refused = t.kind and t.amount_micros <= case t.kind when 'day' then f.day_max_micros else f.month_max_micros end)
    ), noted as (
      insert into tandem.alert(threshold_id, account_id, currency, kind, amount_micros, value_micros, window_id)
      select id, account_id, currency, kind, amount_micros, value, window_id from balance where is_crossed
      union all
      select id, account_id, currency, kind, amount_micros, spent_micros, window_id from spent
      on conflict (threshold_id, window_id, amount_micros) where window_id is not null do nothing
      returning *
    )
    select n.*, t.lock from noted n join tandem.threshold t on t.id = n.threshold_id order by n.account_id, n.threshold_id
  loop
    raised := raised + 1;
    perform pg_notify('tandem_alert', hit.id::text);
    if hit.lock is not null then
      perform set_config('tandem.actor', 'threshold ' || hit.threshold_id, true);
      update tandem.account a
         set lock = hit.lock, lock_note = format('threshold %s: %s of %s %s', hit.threshold_id, hit.kind, (hit.value_micros / 1000000.0)::numeric(20, 6), hit.currency)
       where a.id = hit.account_id and tandem.lock_rank(a.lock) < tandem.lock_rank(hit.lock);
      perform set_config('tandem.actor', coalesce(before, ''), true);
    end if;
  end loop;
  return raised;
end $$;
comment on function tandem.check_thresholds_v1 is 'Raise an alert for each threshold that these funds have crossed, and lock where it says so.';
revoke execute on function tandem.check_thresholds_v1 from public;
grant execute on function tandem.check_thresholds_v1 to tandem_settle;
