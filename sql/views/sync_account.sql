-- Account. name: acct:<id>.
set local role tandem_owner;

create view sync.account with (security_invoker = true) as
select 'acct:' || a.id as name,
       a.id,
       coalesce(a.parent_id, 0) as parent_id,
       case a.kind when 'root' then 0 when 'reseller' then 1 when 'customer' then 2 end as kind,
       case a.status when 'active' then 0 when 'suspended' then 1 when 'closed' then 2 end as status,
       a.name::text as label,
       a.currency,
       coalesce(a.tariff_id, 0) as tariff_id,
       a.timezone,
       a.routing,
       a.barred,
       coalesce((select jsonb_agg(jsonb_build_array(o.reason, o.status, o.phrase) order by o.reason)
                   from tandem.reply_override o where o.account_id = a.id), '[]') as replies,
       exists (select from tandem.peering_group g where g.account_id = a.id) as owns_carriers,
       tandem.lock_rank(a.lock) as lock,
       coalesce(a.barring_id, 0) as barring_id,
       coalesce(a.own_barring_id, 0) as own_barring_id,
       a.blocked_in,
       a.blocked_out,
       a.carriers,
       a.loss_pct,
       a.attempts_max,
       case when a.parent_id is not null and not exists (
         select from tandem.fund f where (f.account_id, f.currency) = (a.id, a.currency) and f.credit_limit_micros <> 0)
         then 0 else coalesce(a.offline_calls, -1) end as offline_calls,
       a.offline_s,
       a.media
  from tandem.account a;
comment on view sync.account is 'Account of kemi/records.';
