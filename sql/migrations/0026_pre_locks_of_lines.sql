-- Locks of single lines; and what a loss is, said as it is judged.
set local role tandem_owner;

alter table tandem.subscriber
  add column lock text not null default 'none' constraint lock_is_known check (tandem.lock_rank(lock) is not null);
comment on column tandem.subscriber.lock is
  'What is forbidden to the line, beside what its account is: none, foreign (calls that leave to carriers), outgoing, all (calls to it too), '
  'global (registering too). Emergency calls pass.';

comment on column tandem.account.loss_pct is
  'How much more than those below pay it for a call it may spend, on its parent and on a carrier of its own; -1 = anything.';
