-- SipDomain. name: dom:<name>.
set local role tandem_owner;

create view sync.sip_domain with (security_invoker = true) as
select 'dom:' || d.name as name,
       d.id,
       d.name as label,
       d.account_id,
       d.enabled,
       coalesce(d.rewrite_set_id, 0) as rewrite_set_id,
       d.region,
       d.digest
  from tandem.sip_domain d;
comment on view sync.sip_domain is 'SipDomain of kemi/records.';
