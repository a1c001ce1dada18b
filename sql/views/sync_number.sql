-- Number. name: num:<digits>.
set local role tandem_owner;

create view sync.number with (security_invoker = true) as
select 'num:' || n.e164 as name,
       n.e164::text as number,
       n.account_id,
       case n.status when 'active' then 0 when 'suspended' then 1 when 'closed' then 2 end as status,
       coalesce(s.username || '@' || d.name, '') as subscriber
  from tandem.number n
  left join tandem.subscriber s on s.id = n.subscriber_id
  left join tandem.sip_domain d on d.id = s.sip_domain_id;
comment on view sync.number is 'Number of kemi/records; subscriber is empty while the number reaches nobody.';
