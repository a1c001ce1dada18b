-- What a record says besides of a call: which carriers were not used, and that its caller wants to be nobody.
set local role tandem_owner;

alter table tandem.cdr
  add column hidden   boolean not null default false,
  add column left_out jsonb not null default '[]' constraint left_out_is_a_list check (jsonb_typeof(left_out) = 'array');
comment on column tandem.cdr.hidden is 'The caller did not want to be seen: nobody who is called may read who it was.';
comment on column tandem.cdr.left_out is
  'Carriers that were weighed and not asked: [[rule id, group id, server id, name, prefix, cost micros, currency, seconds, why], …]; an empty why: a candidate whose turn never came.';
