-- Exchange. name: fx. Always one row.
set local role tandem_owner;

create view sync.exchange with (security_invoker = true) as
with dated as (
  select e.*, lead(e.valid_from) over (partition by e.base, e.quote order by e.valid_from) as until from tandem.exchange_rate e
)
select 'fx' as name,
       coalesce(jsonb_agg(jsonb_build_array(d.base, d.quote, (extract(epoch from d.valid_from) * 1000)::bigint, (d.rate * 1000000000)::bigint)
                          order by d.base, d.quote, d.valid_from)
                  filter (where d.until is null or d.until > coalesce((select h.at from tandem.horizon h), '-infinity')), '[]') as rates
  from dated d;
comment on view sync.exchange is 'Exchange of kemi/records. Rates that were over before the horizon are left out.';
