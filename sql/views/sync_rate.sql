-- The rates of ready sets as calls see them, flat. Per field the newest layer that has it decides, whole.
set local role tandem_owner;

create view sync.rate with (security_invoker = true) as
select s.id as rate_set_id,
       r.prefix::text collate "C" as prefix,
       r.class_idx,
       r.rate_set_id as layer_id
  from tandem.rate_set s
  cross join lateral unnest(s.id || s.layers[2:]) with ordinality as l(id, place)
  join tandem.rate r on r.rate_set_id = l.id
 where s.state = 'ready'
   and not exists (select from tandem.rate_field f where f.rate_set_id = any (s.layers[:l.place - 1]) and f.field = left(r.prefix, 4));
comment on view sync.rate is 'Prefix -> price class; no record and no outbox rows of its own: it is written once with its rate_set.';
