-- What a tenant got by another way than the one that is guarded: names for addresses, columns for functions, new lines for locked ones.
set local role tandem_owner;

-- Addresses: by a name as by a number

create function tandem.no_hosts() returns cidr[]
language sql immutable
return '{0.0.0.0/8,127.0.0.0/8,169.254.0.0/16,224.0.0.0/3,::/96,::ffff:0:0/96,64:ff9b::/96,fe80::/10,ff00::/8}'::cidr[];
comment on function tandem.no_hosts is
  'Where no host of a tenant is: this host, loopback, link-local, multicast and broadcast; and IPv6 that stands for any IPv4 (with :: and ::1).';

create function tandem.taken_network(viewer bigint, networks cidr[]) returns cidr
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  is_root constant boolean := exists (select from tandem.account a where a.id = viewer and a.kind = 'root');
begin
  return (
    select n from unnest(networks) as n
     where n && any (tandem.no_hosts())
        or not is_root and exists (
             select from tandem.trusted_source t join tandem.subscriber s on s.id = t.subscriber_id
              where t.network && n and not exists (select from tandem.visibility v where v.viewer_id = viewer and v.account_id = s.account_id))
        or not is_root and exists (
             select from tandem.peering_server p join tandem.peering_group g on g.id = p.group_id
              cross join tandem.networks_of_server(p.id, p.address, p.aliases) as theirs
              where theirs && n and not exists (select from tandem.visibility v where v.viewer_id = viewer and v.account_id = g.account_id))
     limit 1);
end $$;
comment on function tandem.taken_network is
  'The first of these that is no host of others, or overlaps a trusted source, or a network of a server, of an account that the viewer does '
  'not see: whose calls those are would change. Null: none.';

create function tandem.refuse_taken_networks(what text, networks cidr[]) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  claimed cidr;
begin
  select n into claimed from unnest(networks) as n where masklen(n) < case family(n) when 4 then 24 else 48 end limit 1;
  if found then
    raise check_violation using message = format('%s: network %s is wider than /24 (IPv4) or /48 (IPv6)', what, claimed);
  end if;
  claimed := tandem.taken_network(tandem.acting_account_v1(), networks);
  if claimed is not null then
    raise unique_violation using message = format('%s: the address %L is not available', what,
      case when masklen(claimed) = case family(claimed) when 4 then 32 else 128 end then host(claimed) else claimed::text end);
  end if;
end $$;
comment on function tandem.refuse_taken_networks is
  'Error when one of these is too wide for a tenant, or is taken (tandem.taken_network) for the acting account.';

create or replace function tandem.refuse_foreign_networks(what text, networks cidr[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('tandem.peering_server', 0));  -- as tandem.refuse_shared_network: one claim at a time
  perform tandem.refuse_taken_networks(what, networks);
end $$;
comment on function tandem.refuse_foreign_networks is
  'As tandem.refuse_taken_networks, for who claims them: nobody else does until the transaction ends.';

-- What the resolver has written before this release is judged as it would be now.
delete from tandem.peering_server_address d
 using tandem.peering_server s, tandem.peering_group g, tandem.account a
 where s.id = d.server_id and g.id = s.group_id and a.id = g.account_id and a.kind <> 'root'
   and tandem.taken_network(g.account_id, array[d.address::cidr]) is not null;

-- A line that is locked from above keeps what makes it the line that it is

create function tandem.is_bound(of_subscriber bigint) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  acting constant bigint := tandem.acting_account_v1();
begin
  return exists (select from tandem.subscriber s where s.id = of_subscriber and s.account_id = acting and s.lock <> 'none');
end $$;
comment on function tandem.is_bound is 'Whether this is a locked line of the acting account, which the lock binds; those above it may do as they like.';

create function tandem.admit_bound() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  news jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  olds jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  line bigint := (olds ->> case tg_table_name when 'subscriber' then 'id' else 'subscriber_id' end)::bigint;
begin
  if tg_table_name = 'trusted_source' and tg_op <> 'DELETE' then  -- a narrower one would take the calls of the locked line
    select t.subscriber_id into line
      from tandem.trusted_source t
     where t.network && new.network and t.subscriber_id <> new.subscriber_id and tandem.is_bound(t.subscriber_id)
       and (tg_op = 'INSERT' or (new.network, new.transport, new.from_pattern, new.subscriber_id)
                                 is distinct from (old.network, old.transport, old.from_pattern, old.subscriber_id))
     limit 1;
    line := coalesce(line, (olds ->> 'subscriber_id')::bigint);
  end if;
  if line is not null and tandem.is_bound(line)
     and (news is null or olds is null or exists (select from unnest(tg_argv) as c where news -> c is distinct from olds -> c))
  then
    raise insufficient_privilege using message = format(
      'subscriber %L is locked by an account above it: its numbers and trusted sources stay with it, and it stays in its account under its name',
      (select s.username from tandem.subscriber s where s.id = line));
  end if;
  return coalesce(new, old);
end $$;
comment on function tandem.admit_bound is
  'Trigger(column, …): the account of a line that is locked from above changes none of these columns, and removes nothing that is the line''s; '
  'nor does it trust an address of that line''s for another one.';
create trigger admit_bound before update or delete on tandem.subscriber
  for each row when (current_user = 'tandem_tenant' and old.lock <> 'none') execute function tandem.admit_bound('account_id', 'username', 'sip_domain_id');
create trigger admit_bound before update or delete on tandem.number
  for each row when (current_user = 'tandem_tenant' and old.subscriber_id is not null)
  execute function tandem.admit_bound('subscriber_id', 'account_id', 'e164');
create trigger admit_bound before insert or update or delete on tandem.trusted_source
  for each row when (current_user = 'tandem_tenant')
  execute function tandem.admit_bound('subscriber_id', 'network', 'transport', 'from_pattern');
comment on column tandem.subscriber.lock is
  'What is forbidden to the line, beside what its account is: none, foreign (calls that leave to carriers), outgoing, all (calls to it too), '
  'global (registering too). Emergency calls pass. Said by accounts above the line''s, which as long as it is locked neither removes it nor '
  'gives its numbers and trusted sources to another line.';

revoke execute on function tandem.taken_network(bigint, cidr[]), tandem.refuse_taken_networks(text, cidr[]), tandem.is_bound(bigint), tandem.admit_bound() from public;
