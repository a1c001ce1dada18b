-- What Postgres owns of a fund. name: <account id>:<currency>; line<id>: and user<id>: have limits and no money. key_…: find it by an index.
-- Not a record: its bytes are money.lua's.
-- Windows: 8 days and 3 months from the fund's calendar on, in the account's time zone.
set local role tandem_owner;

create view sync.fund_terms with (security_invoker = true) as
select f.account_id || ':' || f.currency as name,
       c.cver,
       c.cred_micros::bigint,
       f.credit_limit_micros::bigint,
       case a.status when 'active' then 0 when 'suspended' then 1 when 'closed' then 2 end as status,
       f.channels_max,
       f.cps_max,
       f.channels_in_max,
       f.channels_out_max,
       f.day_max_micros::bigint,
       f.month_max_micros::bigint,
       case when f.day_max_micros > 0 then (
         select jsonb_agg(jsonb_build_array(to_char(w.day, 'YYYYMMDD')::integer,
                                            (extract(epoch from (w.day + interval '1 day') at time zone a.timezone) * 1000)::bigint) order by w.day)
           from (select k.first_day + place as day from generate_series(0, 7) as place) as w)
         else '[]' end as days,
       case when f.month_max_micros > 0 then (
         select jsonb_agg(jsonb_build_array(to_char(w.month, 'YYYYMM')::integer,
                                            (extract(epoch from (w.month + interval '1 month') at time zone a.timezone) * 1000)::bigint) order by w.month)
           from (select date_trunc('month', k.first_day::timestamp) + place * interval '1 month' as month from generate_series(0, 2) as place) as w)
         else '[]' end as months,
       case when k.opening_version > 0 and (f.day_max_micros > 0 or f.month_max_micros > 0)
         then jsonb_build_array(k.opening_version, k.opening_day_id, k.opening_day_micros, k.opening_month_id, k.opening_month_micros)
         end as opening,
       f.account_id as key_account_id,
       null::bigint as key_subscriber_id,
       null::bigint as key_user_id
  from tandem.fund f
  join tandem.fund_calendar k using (account_id, currency)
  join tandem.fund_credit c using (account_id, currency)
  join tandem.account a on a.id = f.account_id
union all
select 'line' || s.id || ':', 1, 0, -1, 0, s.calls_max, 0, s.calls_in_max, s.calls_out_max, 0, 0, '[]', '[]', null, null, s.id, null
  from tandem.subscriber s
 where s.calls_max + s.calls_in_max + s.calls_out_max > 0
    or exists (select from tandem.ring_group_member m join tandem.ring_group g on g.id = m.ring_group_id
                where m.subscriber_id = s.id and g.skip_busy)
union all
select 'user' || u.id || ':', 1, 0, -1, 0, u.calls_max, 0, 0, 0, 0, 0, '[]', '[]', null, null, null, u.id
  from tandem.user u
 where u.calls_max > 0
    or exists (select from tandem.ring_group_member m join tandem.ring_group g on g.id = m.ring_group_id
                where m.user_id = u.id and g.skip_busy);
comment on view sync.fund_terms is
  'What FundTerms of kemi/adapters/redis_funds.py has, of each fund; days and months: [id, end in Unix ms], and what they begin with, only where there is a cap.';
