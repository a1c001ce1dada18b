-- Words for writing small worlds: the demo world and those of the scenarios are a few calls of these.
-- Load it before them, as often as you like; production databases never need it. Names instead of ids: an account's name
-- must then be unique in the whole tree, a carrier's among all carriers. Every function returns the new row's id.
--
--   select world.tariff('Tandem', 'wholesale', 'EUR', '44', '0.010', '447', '0.040 60/6 +0.02', '1900', 'forbidden');
--   select world.reseller('North', 'Tandem', 'wholesale', 500);          -- opening balance 500 EUR, no credit limit
--   select world.tariff('North', 'retail', 'EUR', '44', '0.020');
--   select world.customer('Alpha', 'North', 'retail', 20, 5);            -- 20 EUR, and may owe 5
--   select world.domain('a.example', 'North');
--   select world.subscriber('alice@a.example', 'Alpha', 'alice-secret', '442079460001');
--   select world.did('442079460001', 'alice@a.example');
--   select world.trusted('alice@a.example', '127.0.2.9', 'udp');
--   select world.carrier('acme', '127.0.1.1', 5080, '44', '0.004');      -- of the root; takes every number
--   select world.carrier_of('North', 'own', '127.0.1.9', 5080, '44', '0.003');
--
-- Prices are units of the currency per minute: '<per minute> [<first s>/<next s>] [+<connect fee>]', or 'forbidden'.

create schema if not exists world;
comment on schema world is 'Words for writing small worlds (sql/seed/world.sql). Not part of a production database.';

create or replace function world.account_id(of_name text) returns bigint language plpgsql as $$
declare
  ids bigint[] := array(select a.id from tandem.account a where a.name = of_name);
begin
  if cardinality(ids) <> 1 then
    raise exception 'world: % accounts are called %', cardinality(ids), of_name;
  end if;
  return ids[1];
end $$;

create or replace function world.carrier_id(of_name text) returns bigint language plpgsql as $$
declare
  ids bigint[] := array(select g.id from tandem.peering_group g where g.name = of_name);
begin
  if cardinality(ids) <> 1 then
    raise exception 'world: % carriers are called %', cardinality(ids), of_name;
  end if;
  return ids[1];
end $$;

create or replace function world.subscriber_id(aor text) returns bigint language plpgsql as $$
declare
  found_id bigint := (select s.id from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
                       where s.username || '@' || d.name = aor);
begin
  if found_id is null then
    raise exception 'world: there is no subscriber %', aor;
  end if;
  return found_id;
end $$;

create or replace function world.micros(units numeric) returns bigint language sql immutable
return (units * 1000000)::bigint;

create or replace function world.root(name text, currency text default 'EUR') returns bigint language sql as $$
  insert into tandem.account(kind, name, currency) values ('root', name, currency) returning id
$$;

-- A tariff with a ready rate set in force. The same owner and name again: a new version comes into force.
create or replace function world.tariff(owner text, name text, currency text, variadic prices text[]) returns bigint
language plpgsql as $$
declare
  owner_id constant bigint := world.account_id(owner);
  this_tariff bigint;
  this_set    bigint;
  wrong       text := (select p from unnest(prices) with ordinality as u(p, place) where place % 2 = 0
                        and p !~ '^([0-9]+(\.[0-9]+)?( [0-9]+/[0-9]+)?( \+[0-9]+(\.[0-9]+)?)?|forbidden)$' limit 1);
begin
  if cardinality(prices) % 2 <> 0 then
    raise exception 'world: prices come in pairs of prefix and price';
  elsif wrong is not null then
    raise exception 'world: % is no price', wrong;
  end if;
  insert into tandem.tariff(account_id, name, currency) values (owner_id, tariff.name, tariff.currency)
  on conflict on constraint tariff_name_is_unique_in_its_account do nothing;
  select t.id into this_tariff from tandem.tariff t where t.account_id = owner_id and t.name = tariff.name;
  insert into tandem.rate_set(tariff_id, version)
  select this_tariff, 1 + coalesce(max(s.version), 0) from tandem.rate_set s where s.tariff_id = this_tariff
  returning id into this_set;
  perform world.rates(this_set, prices);
  update tandem.rate_set set state = 'ready' where id = this_set;
  update tandem.tariff set rate_set_id = this_set where id = this_tariff;
  return this_tariff;
end $$;

-- Prefix/price pairs as rows; equal prices share a class.
create or replace function world.rates(of_set bigint, prices text[]) returns void language sql as $$
  with pair as (
    select prices[i] as prefix, prices[i + 1] as price from generate_series(1, cardinality(prices), 2) as i
  ), class as (
    select price, (row_number() over (order by price) - 1)::integer as idx from (select distinct price from pair) as p
  ), class_row as (
    insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s, next_s, connect_micros, forbidden)
    select of_set, idx,
           world.micros(coalesce(substring(price from '^[0-9.]+')::numeric, 0)),
           coalesce(substring(price from ' ([0-9]+)/')::integer, 1),
           coalesce(substring(price from '/([0-9]+)')::integer, 1),
           world.micros(coalesce(substring(price from '\+([0-9.]+)')::numeric, 0)),
           price = 'forbidden'
      from class
  )
  insert into tandem.rate(rate_set_id, prefix, class_idx) select of_set, prefix, idx from pair join class using (price)
$$;

create or replace function world.account(kind text, name text, parent text, tariff text, opening numeric, credit_limit numeric)
returns bigint language plpgsql as $$
declare
  made tandem.account;
begin
  insert into tandem.account(kind, name, parent_id, tariff_id, currency)
  select account.kind, account.name, t.account_id, t.id, t.currency
    from tandem.tariff t where t.account_id = world.account_id(parent) and t.name = account.tariff
  returning * into made;
  if made.id is null then
    raise exception 'world: % has no tariff %', parent, account.tariff;
  end if;
  update tandem.fund f set credit_limit_micros = world.micros(credit_limit) where f.account_id = made.id and credit_limit <> 0;
  if opening <> 0 then
    perform tandem.topup_v1(made.id, world.micros(opening), 'opening balance', 'seed');
  end if;
  return made.id;
end $$;

create or replace function world.reseller(name text, parent text, tariff text, opening numeric default 0, credit_limit numeric default 0)
returns bigint language sql as $$ select world.account('reseller', name, parent, tariff, opening, credit_limit) $$;

create or replace function world.customer(name text, parent text, tariff text, opening numeric default 0, credit_limit numeric default 0)
returns bigint language sql as $$ select world.account('customer', name, parent, tariff, opening, credit_limit) $$;

-- 0 = unlimited, for channels as for calls per second.
create or replace function world.limits(account text, channels integer, cps integer default 0) returns void language sql as $$
  update tandem.fund set channels_max = channels, cps_max = cps where account_id = world.account_id(account)
$$;

create or replace function world.domain(name text, account text, rewrite_set bigint default null) returns bigint language sql as $$
  insert into tandem.sip_domain(name, account_id, rewrite_set_id) values (name, world.account_id(account), rewrite_set) returning id
$$;

create or replace function world.domain_id(of_name text) returns bigint language plpgsql as $$
declare
  found_id bigint := (select d.id from tandem.sip_domain d where d.name = of_name);
begin
  if found_id is null then
    raise exception 'world: there is no domain %', of_name;
  end if;
  return found_id;
end $$;

-- password null: no digest, only trusted sources. cli: own number; others are overridden unless you update cli_policy.
create or replace function world.subscriber(aor text, account text, password text default null, cli text default null)
returns bigint language sql as $$
  with line as (
    select split_part(aor, '@', 1) as username, split_part(aor, '@', 2) as domain, replace(aor, '@', ':') || ':' || password as secret
  )
  insert into tandem.subscriber(account_id, sip_domain_id, username, cli, ha1_md5, ha1_sha256)
  select world.account_id(account), world.domain_id(domain), username, cli,
         md5(secret), encode(sha256(convert_to(secret, 'UTF8')), 'hex')
    from line
  returning id
$$;

create or replace function world.did(number text, aor text) returns bigint language sql as $$
  insert into tandem.number(e164, account_id, subscriber_id)
  select did.number, s.account_id, s.id from tandem.subscriber s where s.id = world.subscriber_id(aor)
  returning id
$$;

create or replace function world.trusted(aor text, network cidr, transport text default '', from_pattern text default '')
returns bigint language sql as $$
  insert into tandem.trusted_source(subscriber_id, network, transport, from_pattern)
  values (world.subscriber_id(aor), network, transport, from_pattern) returning id
$$;

-- A carrier with one server, a deck of its own in the owner's currency, and one rule that takes every number.
create or replace function world.carrier_of(owner text, name text, address inet, port integer, variadic prices text[])
returns bigint language plpgsql as $$
declare
  owner_row tandem.account;
  made      bigint;
begin
  select * into owner_row from tandem.account where id = world.account_id(owner);
  insert into tandem.peering_group(account_id, name, tariff_id)
  values (owner_row.id, carrier_of.name, world.tariff(owner, 'deck of ' || carrier_of.name, owner_row.currency, variadic prices))
  returning id into made;
  insert into tandem.peering_server(group_id, name, address, port) values (made, carrier_of.name, address, port);
  insert into tandem.peering_rule(group_id) values (made);
  return made;
end $$;

create or replace function world.carrier(name text, address inet, port integer, variadic prices text[]) returns bigint
language sql as $$
  select world.carrier_of((select a.name from tandem.account a where a.kind = 'root'), name, address, port, variadic prices)
$$;

create or replace function world.server(carrier text, name text, address inet, port integer, weight integer default 10)
returns bigint language sql as $$
  insert into tandem.peering_server(group_id, name, address, port, weight)
  values (world.carrier_id(carrier), name, address, port, weight) returning id
$$;

create or replace function world.rule(carrier text, callee_prefix text, callee_pattern text default '', caller_pattern text default '',
                                      stopper boolean default false) returns bigint language sql as $$
  insert into tandem.peering_rule(group_id, callee_prefix, callee_pattern, caller_pattern, stopper)
  values (world.carrier_id(carrier), callee_prefix, callee_pattern, caller_pattern, stopper) returning id
$$;

-- The next inbound rule of a carrier. code null: when it does not match the carrier is passed over.
create or replace function world.inbound(carrier text, field text, part text, pattern text, code integer default null, phrase text default null)
returns bigint language sql as $$
  insert into tandem.inbound_rule(group_id, priority, field, part, pattern, code, phrase)
  select world.carrier_id(carrier), 1 + coalesce(max(r.priority), 0), inbound.field, inbound.part, inbound.pattern, inbound.code, inbound.phrase
    from tandem.inbound_rule r where r.group_id = world.carrier_id(carrier)
  returning id
$$;

-- The next rule of a rewrite set, which is made when it is not there. Returns the id of the set.
create or replace function world.rewrite(owner text, set_name text, side text, pattern text, replacement text) returns bigint
language plpgsql as $$
declare
  owner_id constant bigint := world.account_id(owner);
  this_set bigint;
begin
  insert into tandem.rewrite_set(account_id, name) values (owner_id, set_name)
  on conflict on constraint rewrite_set_name_is_unique_in_its_account do nothing;
  select s.id into this_set from tandem.rewrite_set s where s.account_id = owner_id and s.name = set_name;
  insert into tandem.rewrite_rule(rewrite_set_id, side, priority, pattern, replacement)
  select this_set, rewrite.side, 10 + coalesce(max(r.priority), 0), rewrite.pattern, rewrite.replacement
    from tandem.rewrite_rule r where r.rewrite_set_id = this_set and r.side = rewrite.side;
  return this_set;
end $$;
