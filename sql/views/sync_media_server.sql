-- MediaServer. name: media:<id>.
set local role tandem_owner;

create view sync.media_server with (security_invoker = true) as
select 'media:' || m.id as name,
       m.id,
       m.account_id,
       m.name::text as label,
       host(m.address) as address,
       m.port,
       m.transport
  from tandem.media_server m;
comment on view sync.media_server is 'MediaServer of kemi/records.';
