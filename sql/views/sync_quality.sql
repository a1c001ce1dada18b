-- Quality. name: quality. Always one row. In steps of 5 %, 15 s and 500 ms; a server with fewer than 20 calls is not judged.
-- What is left of less than half a call, by rounding, says nothing of talk or delay.
set local role tandem_owner;

create view sync.quality with (security_invoker = true) as
select 'quality' as name,
       coalesce(jsonb_agg(jsonb_build_array(
         q.server_id,
         5 * round(20 * least(q.answered / q.attempts, 1))::integer,
         15 * round(case when q.answered < 0.5 then 0 else least(q.talk_s / q.answered, 86400) end / 15)::integer,
         500 * round(case when q.rung < 0.5 then 0 else least(q.pdd_ms / q.rung, 180000) end / 500)::integer) order by q.server_id), '[]') as servers
  from tandem.server_quality q
 where q.attempts >= 20;
comment on view sync.quality is 'Quality of kemi/records.';
