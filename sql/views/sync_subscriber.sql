-- Subscriber. name: sub:<username>@<domain>.
set local role tandem_owner;

create view sync.subscriber with (security_invoker = true) as
select 'sub:' || s.username || '@' || d.name as name,
       s.id,
       s.username,
       d.name as domain,
       s.account_id,
       case s.status when 'active' then 0 when 'suspended' then 1 when 'closed' then 2 end as status,
       coalesce(s.ha1_md5, '') as ha1_md5,
       coalesce(s.ha1_sha256, '') as ha1_sha256,
       coalesce(s.cli::text, '') as cli,
       s.allowed_clis,
       case s.cli_policy when 'override' then 0 when 'anonymise' then 1 when 'reject' then 2 end as cli_policy,
       coalesce(s.rewrite_set_id, 0) as rewrite_set_id,
       coalesce(s.barring_id, 0) as barring_id,
       coalesce(s.own_barring_id, 0) as own_barring_id,
       s.blocked_in,
       s.blocked_out,
       s.clir as is_hidden,
       s.region,
       tandem.lock_rank(s.lock) as lock
  from tandem.subscriber s
  join tandem.sip_domain d on d.id = s.sip_domain_id;
comment on view sync.subscriber is 'Subscriber of kemi/records.';
