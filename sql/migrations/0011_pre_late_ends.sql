-- A call's end that comes when Redis holds nothing for the call any more: posted here, by the difference.
set local role tandem_owner;

alter table tandem.cdr add column is_late boolean not null default false;
comment on column tandem.cdr.is_late is
  'A late end wrote this row: it stands before every other event of the call, only a later one of its kind replaces it.';
comment on column tandem.cdr.ended_by is
  'caller, callee, money, maximum, noc, sweeper, lost_hold (Redis did not know its hold any more); empty = none of them.';
comment on column tandem.ledger_entry.seq is
  'Sequence of the event within the reservation; negated where it takes back what that event, or another late end, posted.';
