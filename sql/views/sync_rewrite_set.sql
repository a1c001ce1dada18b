-- RewriteSet. name: rws:<id>.
set local role tandem_owner;

create view sync.rewrite_set with (security_invoker = true) as
select 'rws:' || w.id as name,
       w.id,
       w.name::text as label,
       coalesce(l.caller_in, '[]') as caller_in,
       coalesce(l.callee_in, '[]') as callee_in,
       coalesce(l.caller_out, '[]') as caller_out,
       coalesce(l.callee_out, '[]') as callee_out,
       coalesce(l.caller_lnp, '[]') as caller_lnp,
       coalesce(l.callee_lnp, '[]') as callee_lnp
  from tandem.rewrite_set w
  cross join lateral (
    select jsonb_agg(r.row order by r.priority) filter (where r.side = 'caller_in') as caller_in,
           jsonb_agg(r.row order by r.priority) filter (where r.side = 'callee_in') as callee_in,
           jsonb_agg(r.row order by r.priority) filter (where r.side = 'caller_out') as caller_out,
           jsonb_agg(r.row order by r.priority) filter (where r.side = 'callee_out') as callee_out,
           jsonb_agg(r.row order by r.priority) filter (where r.side = 'caller_lnp') as caller_lnp,
           jsonb_agg(r.row order by r.priority) filter (where r.side = 'callee_lnp') as callee_lnp
      from (select u.side, u.priority, jsonb_build_array(u.id, u.priority, u.pattern, u.replacement) as row
              from tandem.rewrite_rule u where u.rewrite_set_id = w.id) as r
  ) as l;
comment on view sync.rewrite_set is 'RewriteSet of kemi/records.';
