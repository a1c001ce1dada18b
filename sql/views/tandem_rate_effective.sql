-- What each prefix of a rate set costs, whichever layer says so: for reports.
set local role tandem_owner;

create view tandem.rate_effective with (security_invoker = true) as
select r.rate_set_id,
       r.prefix,
       r.layer_id,
       r.class_idx,
       c.per_min_micros,
       c.first_s,
       c.next_s,
       c.connect_micros,
       c.forbidden,
       c.min_micros
  from sync.rate r
  join tandem.rate_class c on c.rate_set_id = r.rate_set_id and c.idx = r.class_idx;
comment on view tandem.rate_effective is 'Rates of ready sets with their ordinary prices.';
comment on column tandem.rate_effective.rate_set_id is 'The rate set.';
comment on column tandem.rate_effective.prefix is 'Beginning of E.164 numbers.';
comment on column tandem.rate_effective.layer_id is 'Which set says so: the same, or one that it stands on.';
comment on column tandem.rate_effective.class_idx is 'Which price class of the set.';
comment on column tandem.rate_effective.per_min_micros is 'Price of a minute of talk.';
comment on column tandem.rate_effective.first_s is 'Seconds charged at once when the call is answered.';
comment on column tandem.rate_effective.next_s is 'Seconds of each further begun increment.';
comment on column tandem.rate_effective.connect_micros is 'Fee of an answered call.';
comment on column tandem.rate_effective.forbidden is 'Nobody may call here at this level.';
comment on column tandem.rate_effective.min_micros is 'Least price of an answered call.';
