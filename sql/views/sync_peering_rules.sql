-- PeeringRules. name: rules:<owner account id>:<callee prefix>; key_account_id finds it by an index. Disabled rules are there and say so.
set local role tandem_owner;

create view sync.peering_rules with (security_invoker = true) as
select 'rules:' || r.account_id || ':' || r.callee_prefix as name,
       jsonb_agg(jsonb_build_array(r.id, r.group_id, r.callee_prefix, r.callee_pattern, r.caller_pattern, r.stopper, r.enabled,
                                   r.block,
                                   coalesce((extract(epoch from r.valid_from) * 1000)::bigint, 0),
                                   coalesce((extract(epoch from r.valid_to) * 1000)::bigint, 0),
                                   coalesce(r.time_set_id, 0))
                 order by r.id) as entries,
       r.account_id as key_account_id
  from tandem.peering_rule r
 group by r.account_id, r.callee_prefix;
comment on view sync.peering_rules is 'PeeringRules of kemi/records.';
