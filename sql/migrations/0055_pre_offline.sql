-- Calls while Redis is down: an account with credit may give its word for a few that cannot be held.
set local role tandem_owner;

alter table tandem.account
  add column offline_calls integer constraint offline_calls_are_0_to_10000 check (offline_calls between 0 and 10000),
  add column offline_s integer not null default 600 constraint offline_is_1_to_14400_s check (offline_s between 1 and 14400);
comment on column tandem.account.offline_calls is
  'How many calls at a time each node lets in for this account, and for all below it that say nothing of their own, while Redis is down and nothing can be held; 0 = none, here and below; null = as the account above, and none where nobody says anything. An account without credit is prepaid: none, whatever stands here.';
comment on column tandem.account.offline_s is
  'The longest such call; and how long a call of these accounts goes on beyond what is held for it when Redis goes down meanwhile.';

-- Whether an account is prepaid is a matter of its fund, and stands in the account's record.
drop trigger outbox_insert on tandem.fund;
drop trigger outbox_update on tandem.fund;
drop trigger outbox_delete on tandem.fund;
drop trigger outbox_truncate on tandem.fund;
select tandem.feed_outbox('fund',
  'fund_terms', $q$ select r.account_id || ':' || r.currency $q$,
  'account', $q$ select 'acct:' || r.account_id $q$);
