-- The rates of ready sets, for the rate hashes: select prefix, class_idx … where rate_set_id = … order by prefix (an index scan).
set local role tandem_owner;

create view sync.rate with (security_invoker = true) as
select r.rate_set_id,
       r.prefix::text collate "C" as prefix,
       r.class_idx
  from tandem.rate r
 where exists (select from tandem.rate_set s where s.id = r.rate_set_id and s.state = 'ready');
comment on view sync.rate is 'Prefix -> price class; no record and no outbox rows of its own: it is written once with its rate_set.';
