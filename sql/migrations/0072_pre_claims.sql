-- What a tenant may claim: addresses that calls come from, numbers that callers show, and of its own lines what those above it say.
set local role tandem_owner;

create function tandem.refuse_foreign_networks(what text, networks cidr[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  no_hosts constant cidr[] := '{0.0.0.0/8,127.0.0.0/8,169.254.0.0/16,224.0.0.0/3,::/128,::1/128,fe80::/10,ff00::/8}';
  claimed  cidr;
begin
  select n into claimed from unnest(networks) as n where masklen(n) < case family(n) when 4 then 24 else 48 end limit 1;
  if found then
    raise check_violation using message = format('%s: network %s is wider than /24 (IPv4) or /48 (IPv6)', what, claimed);
  end if;
  perform pg_advisory_xact_lock(hashtextextended('tandem.peering_server', 0));  -- as tandem.refuse_shared_network: one claim at a time
  select n into claimed from unnest(networks) as n
   where n && any (no_hosts)
      or exists (select from tandem.trusted_source t join tandem.subscriber s on s.id = t.subscriber_id
                  where t.network && n and not tandem.acting_sees(s.account_id))
      or exists (select from tandem.peering_server p join tandem.peering_group g on g.id = p.group_id
                  cross join tandem.networks_of_server(p.id, p.address, p.aliases) as theirs
                  where theirs && n and not tandem.acting_sees(g.account_id))
   limit 1;
  if found then
    raise unique_violation using message = format('%s: the address %L is not available', what,
      case when masklen(claimed) = case family(claimed) when 4 then 32 else 128 end then host(claimed) else claimed::text end);
  end if;
end $$;
comment on function tandem.refuse_foreign_networks is
  'Error when one of these is too wide for a tenant, is no host of others (loopback, link-local, multicast), or overlaps a trusted source, '
  'or a network of a server, of an account that the acting one does not see: whose calls those are would change.';

create function tandem.admit_source() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'INSERT' or (new.network, new.transport, new.from_pattern) is distinct from (old.network, old.transport, old.from_pattern) then
    perform tandem.refuse_foreign_networks('trusted source', array[new.network]);
  end if;
  return new;
end $$;
comment on function tandem.admit_source is 'Trigger: a tenant trusts only addresses that are nobody''s whom it does not see.';
create trigger admit_source before insert or update on tandem.trusted_source
  for each row when (current_user = 'tandem_tenant') execute function tandem.admit_source();

create function tandem.admit_server() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  olds cidr[] := '{}';
begin
  if tg_op = 'UPDATE' then
    olds := array(select tandem.server_networks(old.address, old.aliases));
  end if;
  perform tandem.refuse_foreign_networks('server',
    array(select n from tandem.server_networks(new.address, new.aliases) as n where n <> all (olds)));
  if new.is_trusted and (tg_op = 'INSERT' or not old.is_trusted
                         or (new.address, new.host, new.aliases) is distinct from (old.address, old.host, old.aliases)) then
    raise insufficient_privilege using message =
      format('server %L: is_trusted is the platform''s to say, for the address that it trusts; give it as no', new.name);
  end if;
  return new;
end $$;
comment on function tandem.admit_server is
  'Trigger: a tenant''s server has only addresses that are nobody''s whom it does not see; what callers say there only the platform believes.';
create trigger admit_server before insert or update on tandem.peering_server
  for each row when (current_user = 'tandem_tenant') execute function tandem.admit_server();

create or replace function tandem.prefer_trusted_source() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tandem.is_platform() then
    delete from tandem.peering_server_address a where a.address <<= new.network;
  end if;
  return null;
end $$;
comment on function tandem.prefer_trusted_source is
  'Trigger: what names of servers stand for gives way to a trusted source that an operator writes; a tenant takes no carrier''s address.';

create function tandem.admit_line() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  acting  constant bigint := tandem.acting_account_v1();
  is_own  boolean := new.account_id = acting;
  is_said boolean := new.lock <> 'none' or new.barring_id is not null;
  shown   text[] := new.allowed_clis || new.cli::text;
  number  text;
  holder  bigint;
begin
  if tg_op = 'UPDATE' then
    is_own := is_own or old.account_id = acting;
    is_said := (new.lock, new.barring_id) is distinct from (old.lock, old.barring_id);
    shown := array(select n from unnest(shown) as n where n <> all (old.allowed_clis) and n is distinct from old.cli);
  end if;
  if is_own and is_said then
    raise insufficient_privilege using message =
      format('subscriber %L: its own account does not say its lock and barring: those above it do', new.username);
  end if;
  foreach number in array shown loop
    continue when number is null;
    if number !~ '^[0-9]+$' then
      if is_own then
        raise insufficient_privilege using message =
          format('subscriber %L: its own account does not allow it the pattern %L: those above it do', new.username, number);
      end if;
      continue;
    end if;
    select n.account_id into holder from tandem.number n where n.e164 = number;
    if not found and not tandem.acting_may('numbers') or found and not tandem.acting_sees(holder) then
      raise foreign_key_violation using message = format('subscriber %L: number %L is not available to be shown', new.username, number);
    end if;
  end loop;
  return new;
end $$;
comment on function tandem.admit_line is
  'Trigger: lock and barring of a line are said by accounts above its own; it shows numbers that an account holds which the acting one sees, '
  'or with the right numbers those that nobody holds; patterns of them are given by accounts above.';
create trigger admit_line before insert or update on tandem.subscriber
  for each row when (current_user = 'tandem_tenant') execute function tandem.admit_line();

create or replace function tandem.check_threshold() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tandem.acting_sees(new.account_id)  -- of others a tenant is refused by policy, whatever they have
     and not exists (select from tandem.fund f where f.account_id = new.account_id and f.currency = new.currency) then
    raise foreign_key_violation using message = format('threshold: account %s has no fund in %s', new.account_id, new.currency);
  end if;
  return new;
end $$;

comment on column tandem.subscriber.lock is
  'What is forbidden to the line, beside what its account is: none, foreign (calls that leave to carriers), outgoing, all (calls to it too), '
  'global (registering too). Emergency calls pass. Said by accounts above the line''s.';
comment on column tandem.subscriber.barring_id is
  'Barring level that accounts above the line''s say; null = none. What its own account says is own_barring_id.';
comment on column tandem.subscriber.cli is
  'Own number, shown when the policy overrides. A tenant says one that an account holds which it sees, with the right numbers also one that nobody holds.';
comment on column tandem.subscriber.allowed_clis is
  'Numbers that the caller may show besides its own: shell patterns (* ? [0-9]). Of a tenant as cli; patterns are given by accounts above.';

revoke execute on function tandem.refuse_foreign_networks(text, cidr[]), tandem.admit_source(), tandem.admit_server(), tandem.admit_line() from public;
