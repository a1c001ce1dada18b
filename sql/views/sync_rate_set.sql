-- RateSet. name: rset:<id>. Only ready sets: what Redis has of a set never changes.
set local role tandem_owner;

create view sync.rate_set with (security_invoker = true) as
select 'rset:' || s.id as name,
       s.id,
       (select jsonb_agg(jsonb_build_array(c.per_min_micros, c.first_s, c.next_s, c.connect_micros, c.forbidden) order by c.idx)
          from tandem.rate_class c where c.rate_set_id = s.id) as rates
  from tandem.rate_set s
 where s.state = 'ready';
comment on view sync.rate_set is 'RateSet of kemi/records.py.';
