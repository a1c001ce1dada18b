-- Tariff. name: tar:<id>.
set local role tandem_owner;

create view sync.tariff with (security_invoker = true) as
select 'tar:' || t.id as name,
       t.id,
       t.account_id,
       t.name::text as label,
       t.currency,
       coalesce(t.rate_set_id, 0) as rate_set_id
  from tandem.tariff t;
comment on view sync.tariff is 'Tariff of kemi/records.py; rate_set_id 0 = no prices yet.';
