-- A call of which neither side answers any more is ended by its node: one more word of cdr.ended_by.
set local role tandem_owner;

comment on column tandem.cdr.ended_by is
  'caller, callee, maximum, noc, sweeper, money (more talk was refused), store_down (Redis could not be asked for more), node_lost (nobody asked in time), lost_hold (Redis did not know its hold any more), silent (neither side answered when asked whether the call goes on); empty = none of them.';
