set local role tandem_owner;

-- Where in the call's plan a try stood: a call may ring at several places of one server, or of none, at once.
alter table tandem.cdr_attempt
  add column place smallint constraint place_is_not_negative check (place >= 0),
  add column name text not null default '';
comment on column tandem.cdr_attempt.place is
  'Place of the target among those of the call, 0 = the first; null = the release that told it did not know.';
comment on column tandem.cdr_attempt.name is
  'Whom it rang where that is no server: user@domain of a line, media:<id>; empty = a server, or the release that told it did not know.';
