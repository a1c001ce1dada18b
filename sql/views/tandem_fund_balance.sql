-- Balances for people and reports, as far as they are posted.
set local role tandem_owner;

create view tandem.fund_balance with (security_invoker = true) as
  select f.account_id, f.currency, c.cred_micros, r.charged_micros,
         c.cred_micros - r.charged_micros as balance_micros, f.credit_limit_micros
    from tandem.fund f
    join tandem.fund_credit c using (account_id, currency)
    join tandem.fund_charge r using (account_id, currency);
comment on view tandem.fund_balance is 'Balance of each fund as far as it is posted; what Redis holds for calls in progress is not in it.';
comment on column tandem.fund_balance.account_id is 'Whose fund.';
comment on column tandem.fund_balance.currency is 'The fund''s currency.';
comment on column tandem.fund_balance.cred_micros is 'Sum of origin pg.';
comment on column tandem.fund_balance.charged_micros is 'Sum charged by calls in Redis and posted here.';
comment on column tandem.fund_balance.balance_micros is 'cred - charged.';
comment on column tandem.fund_balance.credit_limit_micros is 'How far below zero it may go; -1 = unlimited.';
grant select on tandem.fund_balance to tandem_sync, tandem_settle, tandem_tool, tandem_tenant;
