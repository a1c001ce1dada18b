-- Sources. name: src:<network>; key_network finds it by an index. Servers first (a peer wins a tie), then trusted sources; only enabled ones.
set local role tandem_owner;

create view sync.sources with (security_invoker = true) as
with peer as (  -- two servers of a group on one address are one source: the group is what is identified
  select distinct on (network, s.group_id) s.id, network, s.group_id
    from tandem.peering_server s
    join tandem.peering_group g on g.id = s.group_id
    cross join lateral tandem.networks_of_server(s.id, s.address, s.aliases) as network
   where s.enabled and g.enabled
   order by network, s.group_id, s.id
), source as (
  select p.id, 0 as kind, p.network, ''::text as transport, ''::text as from_pattern, p.group_id, p.id as server_id, ''::text as subscriber
    from peer p
  union all
  select t.id, 1, t.network::cidr, t.transport, t.from_pattern::text, 0::bigint, 0::bigint, s.username || '@' || d.name
    from tandem.trusted_source t
    join tandem.subscriber s on s.id = t.subscriber_id
    join tandem.sip_domain d on d.id = s.sip_domain_id
   where t.enabled
)
select 'src:' || network as name,
       jsonb_agg(jsonb_build_array(id, kind, network::text, transport, from_pattern, group_id, server_id, subscriber)
                 order by kind, id) as entries,
       network as key_network
  from source
 group by network;
comment on view sync.sources is 'Sources of kemi/records.';
