-- RateSet. name: rset:<id>. Only ready sets, of which Redis has those that are not retired; one that it has never changes.
set local role tandem_owner;

create view sync.rate_set with (security_invoker = true) as
select 'rset:' || s.id as name,
       s.id,
       (select jsonb_agg(jsonb_build_array(c.per_min_micros, c.first_s, c.next_s, c.connect_micros, c.forbidden, c.min_micros,
                                           coalesce(p.prices, '[]')) order by c.idx)
          from tandem.rate_class c
          left join (
            select u.class_idx, jsonb_agg(jsonb_build_array(u.period_idx, u.per_min_micros, u.connect_micros) order by u.period_idx) as prices
              from tandem.rate_class_period u where u.rate_set_id = s.id group by u.class_idx
          ) as p on p.class_idx = c.idx
         where c.rate_set_id = s.id) as rates,
       coalesce((
         select jsonb_agg(jsonb_build_array(w.name, (
                  select jsonb_agg(jsonb_build_array(lower(span), upper(span)) order by span) from unnest(w.spans) as span)) order by w.idx)
           from tandem.rate_period w where w.rate_set_id = s.id), '[]') as periods,
       to_jsonb(s.layers) as layers
  from tandem.rate_set s
 where s.state = 'ready' and not s.retired;
comment on view sync.rate_set is 'RateSet of kemi/records.';
