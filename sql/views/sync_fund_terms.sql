-- What Postgres owns of a fund. name: <account id>:<currency>. Not a record: its bytes are money.lua's.
set local role tandem_owner;

create view sync.fund_terms with (security_invoker = true) as
select f.account_id || ':' || f.currency as name,
       c.cver,
       c.cred_micros::bigint,
       f.credit_limit_micros::bigint,
       case a.status when 'active' then 0 when 'suspended' then 1 when 'closed' then 2 end as status,
       f.channels_max,
       f.cps_max
  from tandem.fund f
  join tandem.fund_credit c using (account_id, currency)
  join tandem.account a on a.id = f.account_id;
comment on view sync.fund_terms is '[cver, cred_micros, credit_limit_micros, status, channels_max, cps_max] of each fund.';
