-- Tariff. name: tar:<id>.
set local role tandem_owner;

create view sync.tariff with (security_invoker = true) as
select 'tar:' || t.id as name,
       t.id,
       t.account_id,
       t.name::text as label,
       t.currency,
       coalesce(t.rate_set_id, 0) as rate_set_id,
       t.timezone,
       t.rounding,
       t.round_to_micros,
       t.onnet,
       coalesce(t.inbound_rate_set_id, 0) as inbound_rate_set_id,
       coalesce((
         select jsonb_agg(jsonb_build_array((extract(epoch from d.valid_from) * 1000)::bigint, coalesce(d.rate_set_id, 0)) order by d.valid_from)
           from (select k.valid_from, k.rate_set_id, lead(k.valid_from) over (order by k.valid_from) as until
                   from tandem.tariff_deck k where k.tariff_id = t.id) as d
          where d.until is null or d.until > coalesce((select h.at from tandem.horizon h), '-infinity')), '[]') as decks
  from tandem.tariff t;
comment on view sync.tariff is 'Tariff of kemi/records; a rate set 0 = no prices. Decks that were over before the horizon are left out.';
