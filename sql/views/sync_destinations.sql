-- Destinations. name: dest:<first two digits>. A prefix of one digit stands in ten records.
set local role tandem_owner;

create view sync.destinations with (security_invoker = true) as
select key as name,
       jsonb_agg(jsonb_build_array(d.prefix::text, d.expected_s) order by d.prefix) as entries
  from tandem.destination d
  cross join lateral tandem.destination_keys(d.prefix) as key
 group by key;
comment on view sync.destinations is 'Destinations of kemi/records.';
