-- Peers. name: peers. Always one row.
set local role tandem_owner;

create view sync.peers with (security_invoker = true) as
select 'peers' as name,
       array(select distinct g.id
               from tandem.peering_group g
               join tandem.peering_server s on s.group_id = g.id
              where g.enabled and s.enabled and (s.probe or s.login_register_s > 0)
              order by g.id) as group_ids;
comment on view sync.peers is 'Peers of kemi/records; what is disabled is not asked.';
