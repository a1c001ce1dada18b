-- Words for writing small worlds: the demo world and those of the scenarios are a few calls of these.
-- Load it before them, as often as you like; production databases never need it. Names instead of ids: an account's name
-- must then be unique in the whole tree, a carrier's among all carriers. Every function returns the new row's id.
--
--   select world.tariff('Tandem', 'wholesale', 'EUR', '44', '0.010', '447', '0.040 60/6 +0.02 min 0.10', '1900', 'forbidden');
--   select world.reseller('North', 'Tandem', 'wholesale', 500);          -- opening balance 500 EUR, no credit limit
--   select world.tariff('North', 'retail', 'EUR', '44', '0.020');
--   select world.customer('Alpha', 'North', 'retail', 20, 5);            -- 20 EUR, and may owe 5
--   select world.domain('a.example', 'North');
--   select world.subscriber('alice@a.example', 'Alpha', 'alice-secret', '442079460001');
--   select world.did('442079460001', 'alice@a.example');
--   select world.trusted('alice@a.example', '127.0.2.9', 'udp');
--   select world.carrier('acme', '127.0.1.1', 5080, '44', '0.004');      -- of the root; takes every number
--   select world.carrier_of('North', 'own', '127.0.1.9', 5080, '44', '0.003');   -- and North may sell at a loss, if it is no root
--   select world.chain('u30', '88630');     -- u30-reseller below the root, u30-customer, and alice@u30.example, whose number is 886301000001
--
-- Prices are units of the currency per minute, 'forbidden' or
--   '<per minute> [<first s>/<next s>] [+<connect fee>] [min <least price of a call>] [@<period> <per minute>[+<connect fee>]] …'
--
-- Money (every amount in units, numeric; arguments may be named: world.limits('Alpha', day => 10)):
--   world.period(name, variadic spans)                       -- before the tariffs that say @<name>: world.period('peak', 'Mon-Fri 08:00-18:00', 'Sat');
--                                                            -- periods of a set stand in the order in which they were made here
--   world.tariff_option(owner, tariff, timezone => null, rounding => null, round_to => null, onnet => null)  -- null: as it was
--   world.deck(owner, tariff, valid_from timestamptz, variadic prices)       -- from then on these prices; no prices: from then on none
--   world.edit_rates(owner, tariff, variadic prices)         -- these prices are others from now on, 'none' = taken away; the rest stays
--   world.inbound_rates(owner, tariff, variadic prices)      -- what calls TO a number cost by this tariff; no prices: nothing again
--   world.exchange(base, quote, rate, valid_from => null)    -- 1 base = rate quote; null: since 2000, or since now when there is one already
--   world.reseller/customer(name, parent, tariff, opening => 0, credit_limit => 0, currency => null)  -- null: the tariff's currency
--   world.limits(account, channels => 0, cps => 0, channels_in => 0, channels_out => 0, day => 0, month => 0)  -- 0 = unlimited; sets all of them
--   world.threshold(account, kind, amount, lock => null)     -- kind: balance, day, month; lock: foreign, outgoing, all, global
--   world.lock(account, lock, note => 'test')                -- none, foreign, outgoing, all, global
--   world.money(account, kind, amount, note => 'test', request => null, currency => null)  -- kind: topup, credit, debit, adjust; returns the transaction
--   world.carrier_in(owner, name, currency, address, port, variadic prices)  -- a carrier whose deck is in another currency
--   world.carrier_limits(carrier, owed => null, day => null, month => null)  -- null = unlimited
--   world.grant(account, variadic rights)                    -- of accounts from the top down; none: all that its parent has
--   world.overcommit(account, percent)                       -- of top-ups of accounts below it; null = unguarded
--
-- Routing. `who` is an account's name or an address of record; `server` is "<carrier>/<server>", or a name that only one server has;
-- null: none, or as it was. An option's value is text as for the column; a list is 'a,b' or an array's literal '{a,b}'.
--   world.time_set(owner, name, timezone => 'UTC', spans text[] => '{}', shut text[] => '{}', open text[] => '{}')
--                                                            -- spans: as of world.period, 'Mo-Fr 08:00-18:00' too; days: '2026-12-24', '12-25',
--                                                            -- '12-24..01-06', '2026-08-01..2026-08-14'
--   world.barring(owner, name, mode, patterns text[], time_set => null, spares_internal => false)  -- mode: blacklist, whitelist
--   world.bar(who, level, side => 'admin')                   -- side: admin, own; level null: none
--   world.ported(digits, routing, carrier => null)           -- a number or the beginning of some
--   world.destination(prefix, seconds)                       -- how long a call there is expected to last; again: changed
--   world.emergency(number, carriers text[], domain => '', region => '', routing => '')
--   world.rule(carrier, callee_prefix, callee_pattern => '', caller_pattern => '', stopper => false, block => false, time_set => null,
--              valid_from timestamptz => null, valid_to timestamptz => null, description => '', enabled => true)
--   world.no_rules(carrier)                                  -- takes nothing any more, before rules of its own: world.carrier made one for every number
--   world.server(carrier, name, address, port, weight => 10)
--   world.server_named(carrier, name, host, port, weight => 10)  -- an address comes from world.resolved or from the resolver
--   world.resolved(server, variadic addresses inet[])        -- what its name stands for; none: nothing
--   world.peer_option(server, key, value)                    -- weight, port, transport, enabled, aliases, socket, probe, channels_max, cps_max,
--                                                            -- ring_max_s, pdd_max_ms, redirects, ported (number, routing, rn), is_trusted,
--                                                            -- identity_shown (caller, own), identity_headers, identity_host, rewrite_set
--                                                            -- (id), login ('username:realm:password'), login_register_s, login_contact_user
--   world.hunt(server, status, action, told_status => null, told_phrase => null)   -- action: stop, continue; again: changed
--   world.quality(server, asr_pct, acd_s, pdd_ms, calls => 100)  -- as if it had done so lately
--   world.carrier_option(carrier, key, value)                -- priority, enabled, share, may_return, rewrite_set
--   world.account_option(account, key, value)                -- routing, barred, blocked_in, blocked_out, carriers (all, own_first, own_only),
--                                                            -- loss_pct, attempts_max, status, timezone, offline_calls, offline_s
--   world.subscriber_option(aor, key, value)                 -- blocked_in, blocked_out, clir, region, cli, cli_policy, allowed_clis, status, lock, rewrite_set
--   world.domain_option(domain, key, value)                  -- region, enabled, rewrite_set
--   world.reply(account, reason, status, phrase)             -- a tenant's own answer
--
-- People. `to` is a destination: 'alice@a.example', 'user:Eva', 'group:Sales', 'callflow:Main', 'number:442079460000',
-- 'media:ivr/box1' (a server and the user part that is called there). `who` of a forward: an address of record, or 'user:Eva'.
--   world.user(name, account, variadic lines text[])         -- its lines' addresses of record
--   world.user_option(user, key, value)                      -- dnd, ring_s, calls_max, status
--   world.ring_group(name, account, policy, members text[], member_s => 0, total_s => 0, skip_busy => false, overflow => null)
--                                                            -- policy: parallel, serial, random, circular; a member: 'alice@a.example', 'user:Eva 15' (s)
--   world.media_server(owner, name, address, port => 0, transport => 'udp')
--   world.callflow(name, account, variadic steps text[])     -- 'ring user:Eva 20', 'ring group:Sales', 'forward 442079460000', 'flow Night',
--                                                            -- 'media ivr/box1', 'reject 486 Busy Here', 'time office else 4' (a time set),
--                                                            -- 'caller 4420*,anonymous else 3'; else: the step to go on with, from 1
--   world.extension(dialled, account, to)
--   world.number(number, account, to)                        -- world.did is for a line
--   world.forward(who, kind, to, after_s => 0, time_set => null, callers text[] => '{}')  -- kind: always, busy, no_answer, timeout, unreachable
--   world.place(aor, address, port => 0, priority => 0, weight => 1, transport => 'udp')  -- of an ip_trunk
--   Also world.subscriber_option: kind (line, pilot, trunk, ip_trunk), user (a name, null = nobody's), dnd, ring_s, calls_max, calls_in_max,
--   calls_out_max, did_in (ruri, to), contacts_max, expires_min_s, expires_max_s, register_from, digest (md5, sha256, both);
--   world.domain_option: digest; world.account_option: media (relay, direct).
--   world.rewrite(owner, set_name, side, pattern, replacement)   -- side: caller_in, callee_in, caller_out, callee_out, caller_lnp, callee_lnp

create schema if not exists world;
comment on schema world is 'Words for writing small worlds (sql/seed/world.sql). Not part of a production database.';

-- Who is called what. Volatile: they see what the same statement has made before. A condition on rows asks with (select …): once in a
-- query and not once for each row of it.
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

-- of_table: user, ring_group, callflow, media_server, whose names are unique enough in a small world.
create or replace function world.named(of_table text, of_name text) returns bigint language plpgsql as $$
declare
  ids bigint[];
begin
  execute format('select coalesce(array_agg(t.id), ''{}'') from tandem.%I t where t.name = $1', of_table) into ids using of_name;
  if cardinality(ids) <> 1 then
    raise exception 'world: % of % are called %', cardinality(ids), of_table, of_name;
  end if;
  return ids[1];
end $$;

-- null for null: no time set.
create or replace function world.time_set_id(of_name text) returns bigint language plpgsql as $$
declare
  ids bigint[] := array(select t.id from tandem.time_set t where t.name = of_name);
begin
  if cardinality(ids) <> 1 and of_name is not null then
    raise exception 'world: % time sets are called %', cardinality(ids), of_name;
  end if;
  return ids[1];
end $$;

create or replace function world.micros(units numeric) returns bigint language sql immutable
return (units * 1000000)::bigint;

create or replace function world.root(name text, currency text default 'EUR') returns bigint language sql as $$
  insert into tandem.account(kind, name, currency) values ('root', name, currency) returning id
$$;

create table if not exists world.period_word (
  name  text primary key,
  place bigint generated always as identity,
  spans int4range[] not null
);
comment on table world.period_word is 'What world.period has said.';

-- Parts of the week in minutes since Monday 00:00. A span: days, times or both: 'Mon-Fri 08:00-18:00', 'Sat', 'Fr-Mo', 'Sun 20:00-24:00',
-- '08:00-18:00'; times hold for each of the days.
create or replace function world.spans(said text[]) returns int4range[] language plpgsql as $$
declare
  days  constant text[] := '{Mo,Tu,We,Th,Fr,Sa,Su}';
  one   text;
  parts text[];
  made  int4range[] := '{}';
  first integer;
  last  integer;
begin
  foreach one in array said loop
    parts := regexp_match(case when one ~ '^[0-9]' then 'Mo-Su ' || one else one end,
      '^(Mon?|Tue?|Wed?|Thu?|Fri?|Sat?|Sun?)(?:-(Mon?|Tue?|Wed?|Thu?|Fri?|Sat?|Sun?))?(?: ([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2}))?$');
    if parts is null then
      raise exception 'world: % is no span of the week', one;
    end if;
    first := array_position(days, left(parts[1], 2)) - 1;
    last := array_position(days, left(coalesce(parts[2], parts[1]), 2)) - 1;
    for step in 0 .. (last - first + 7) % 7 loop
      made := made || int4range(
        (first + step) % 7 * 1440 + coalesce(parts[3]::integer * 60 + parts[4]::integer, 0),
        (first + step) % 7 * 1440 + coalesce(parts[5]::integer * 60 + parts[6]::integer, 1440));
    end loop;
  end loop;
  return made;
end $$;

-- A part of the week for later prices. Said again, it holds for prices that come after.
create or replace function world.period(name text, variadic spans text[]) returns void language plpgsql as $$
begin
  if cardinality(spans) = 0 then
    raise exception 'world: period % has no spans', name;
  end if;
  delete from world.period_word w where w.name = period.name;
  insert into world.period_word(name, spans) values (period.name, world.spans(period.spans));
end $$;

-- A tariff with a ready rate set in force. The same owner and name again: a new version comes into force.
create or replace function world.tariff(owner text, name text, currency text, variadic prices text[]) returns bigint
language plpgsql as $$
declare
  this_tariff bigint;
  this_set    bigint;
begin
  insert into tandem.tariff(account_id, name, currency) values (world.account_id(owner), tariff.name, tariff.currency)
  on conflict on constraint tariff_name_is_unique_in_its_account do nothing;
  this_tariff := world.tariff_id(owner, tariff.name);
  this_set := world.rate_set(this_tariff, prices);
  if exists (select from tandem.tariff_deck d where d.tariff_id = this_tariff and d.valid_from <= now()) then
    insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (this_tariff, now(), this_set)
    on conflict on constraint two_decks_do_not_begin_together do update set rate_set_id = excluded.rate_set_id;
  else
    update tandem.tariff set rate_set_id = this_set where id = this_tariff;
  end if;
  return this_tariff;
end $$;

-- Some prices of a tariff become others, from now on; 'none' takes a prefix away. All others are shared with the version before.
create or replace function world.edit_rates(owner text, tariff text, variadic prices text[]) returns bigint language plpgsql as $$
begin
  return tandem.set_rates_v1(world.tariff_id(owner, tariff), (
    select jsonb_agg(jsonb_build_object('prefix', prices[i], 'price', case when prices[i + 1] <> 'none' then world.price_words(prices[i + 1]) end)
                     order by i)
      from generate_series(1, cardinality(prices), 2) as i));
end $$;

-- A price in the words of an edit.
create or replace function world.price_words(price text) returns jsonb language plpgsql immutable as $$
begin
  return (select to_jsonb(p) from world.price(price) as p) || jsonb_build_object('periods', (
    select jsonb_object_agg(w.name, jsonb_build_object('per_min_micros', world.micros(w.per_min), 'connect_micros', world.micros(w.connect)))
      from world.period_prices(array['', price]) as w));
end $$;

-- The ordinary part of a price.
create or replace function world.price(said text)
returns table (per_min_micros bigint, first_s integer, next_s integer, connect_micros bigint, forbidden boolean, min_micros bigint)
language sql immutable as $$
  select world.micros(coalesce(substring(ordinary from '^[0-9.]+')::numeric, 0)),
         coalesce(substring(ordinary from ' ([0-9]+)/')::integer, 1),
         coalesce(substring(ordinary from '/([0-9]+)')::integer, 1),
         world.micros(coalesce(substring(ordinary from '\+([0-9.]+)')::numeric, 0)),
         ordinary = 'forbidden',
         world.micros(coalesce(substring(ordinary from ' min ([0-9.]+)')::numeric, 0))
    from regexp_replace(said, ' @.*$', '') as ordinary
$$;

create or replace function world.tariff_id(owner text, of_name text) returns bigint language plpgsql as $$
declare
  found_id bigint := (select t.id from tandem.tariff t where t.account_id = (select world.account_id(owner)) and t.name = of_name);
begin
  if found_id is null then
    raise exception 'world: % has no tariff %', owner, of_name;
  end if;
  return found_id;
end $$;

-- The next version of a tariff's prices, ready and not yet in force.
create or replace function world.rate_set(of_tariff bigint, prices text[]) returns bigint language plpgsql as $$
declare
  this_set bigint;
  wrong    text := (select p from unnest(prices) with ordinality as u(p, place) where place % 2 = 0
                     and p !~ ('^([0-9]+(\.[0-9]+)?( [0-9]+/[0-9]+)?( \+[0-9]+(\.[0-9]+)?)?( min [0-9]+(\.[0-9]+)?)?'
                               '( @[A-Za-z0-9_-]+ [0-9]+(\.[0-9]+)?( ?\+[0-9]+(\.[0-9]+)?)?)*|forbidden)$') limit 1);
begin
  if cardinality(prices) % 2 <> 0 then
    raise exception 'world: prices come in pairs of prefix and price';
  elsif wrong is not null then
    raise exception 'world: % is no price', wrong;
  end if;
  insert into tandem.rate_set(tariff_id, version)
  select of_tariff, 1 + coalesce(max(s.version), 0) from tandem.rate_set s where s.tariff_id = of_tariff
  returning id into this_set;
  perform world.rates(this_set, prices);
  update tandem.rate_set set state = 'ready' where id = this_set;
  return this_set;
end $$;

-- The distinct prices of prefix/price pairs, numbered from 0.
create or replace function world.price_classes(prices text[]) returns table (price text, idx integer) language sql immutable as $$
  select p.price, (row_number() over (order by p.price) - 1)::integer
    from (select distinct prices[i + 1] as price from generate_series(1, cardinality(prices), 2) as i) as p
$$;

create or replace function world.period_prices(prices text[]) returns table (class_idx integer, name text, per_min numeric, connect numeric)
language sql immutable as $$
  select c.idx, said[1], said[2]::numeric, coalesce(said[3]::numeric, 0)
    from world.price_classes(prices) as c cross join lateral regexp_matches(c.price, '@([A-Za-z0-9_-]+) ([0-9.]+)(?: ?\+([0-9.]+))?', 'g') as said
$$;

-- Prefix/price pairs as rows; equal prices share a class.
create or replace function world.rates(of_set bigint, prices text[]) returns void language plpgsql as $$
declare
  unknown text := (select p.name from world.period_prices(prices) as p where p.name not in (select w.name from world.period_word w) limit 1);
begin
  if unknown is not null then
    raise exception 'world: there is no period %; say world.period first', unknown;
  end if;
  insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s, next_s, connect_micros, forbidden, min_micros)
  select of_set, c.idx, p.* from world.price_classes(prices) as c cross join lateral world.price(c.price) as p;
  insert into tandem.rate(rate_set_id, prefix, class_idx)
  select of_set, prices[i], c.idx from generate_series(1, cardinality(prices), 2) as i join world.price_classes(prices) as c on c.price = prices[i + 1];
  insert into tandem.rate_period(rate_set_id, idx, name, spans)
  select of_set, row_number() over (order by w.place) - 1, w.name, w.spans from world.period_word w
   where w.name in (select p.name from world.period_prices(prices) as p);
  insert into tandem.rate_class_period(rate_set_id, class_idx, period_idx, per_min_micros, connect_micros)
  select of_set, p.class_idx, r.idx, world.micros(p.per_min), world.micros(p.connect)
    from world.period_prices(prices) as p join tandem.rate_period r on r.rate_set_id = of_set and r.name = p.name;
end $$;

create or replace function world.tariff_option(owner text, tariff text, timezone text default null, rounding text default null,
                                               round_to numeric default null, onnet text default null) returns void language sql as $$
  update tandem.tariff t
     set timezone = coalesce(tariff_option.timezone, t.timezone), rounding = coalesce(tariff_option.rounding, t.rounding),
         round_to_micros = coalesce(world.micros(round_to)::integer, t.round_to_micros), onnet = coalesce(tariff_option.onnet, t.onnet)
   where t.id = (select world.tariff_id(owner, tariff))
$$;

create or replace function world.deck(owner text, tariff text, valid_from timestamptz, variadic prices text[] default '{}') returns void
language plpgsql as $$
declare
  this_tariff constant bigint := world.tariff_id(owner, tariff);
begin
  insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id)
  values (this_tariff, deck.valid_from, case when cardinality(prices) > 0 then world.rate_set(this_tariff, prices) end);
end $$;

create or replace function world.inbound_rates(owner text, tariff text, variadic prices text[] default '{}') returns void
language plpgsql as $$
declare
  this_tariff constant bigint := world.tariff_id(owner, tariff);
  this_set    constant bigint := case when cardinality(prices) > 0 then world.rate_set(this_tariff, prices) end;
begin
  update tandem.tariff set inbound_rate_set_id = this_set where id = this_tariff;
end $$;

create or replace function world.exchange(base text, quote text, rate numeric, valid_from timestamptz default null) returns void language sql as $$
  insert into tandem.exchange_rate(base, quote, valid_from, rate)
  select exchange.base, exchange.quote,
         coalesce(exchange.valid_from,
                  case when exists (select from tandem.exchange_rate r where r.base = exchange.base and r.quote = exchange.quote)
                       then clock_timestamp() else timestamptz '2000-01-01 00:00Z' end),
         exchange.rate
$$;

drop function if exists world.reseller(text, text, text, numeric, numeric), world.customer(text, text, text, numeric, numeric),
  world.account(text, text, text, text, numeric, numeric), world.limits(text, integer, integer);

create or replace function world.account(kind text, name text, parent text, tariff text, opening numeric, credit_limit numeric,
                                         currency text default null)
returns bigint language plpgsql as $$
declare
  made tandem.account;
begin
  insert into tandem.account(kind, name, parent_id, tariff_id, currency)
  select account.kind, account.name, t.account_id, t.id, coalesce(account.currency, t.currency)
    from tandem.tariff t where t.id = (select world.tariff_id(parent, account.tariff))
  returning * into made;
  update tandem.fund f set credit_limit_micros = world.micros(credit_limit) where f.account_id = made.id and credit_limit <> 0;
  if opening <> 0 then
    perform tandem.topup_v1(made.id, world.micros(opening), 'opening balance', 'seed');
  end if;
  return made.id;
end $$;

create or replace function world.reseller(name text, parent text, tariff text, opening numeric default 0, credit_limit numeric default 0,
                                          currency text default null)
returns bigint language sql as $$ select world.account('reseller', name, parent, tariff, opening, credit_limit, currency) $$;

create or replace function world.customer(name text, parent text, tariff text, opening numeric default 0, credit_limit numeric default 0,
                                          currency text default null)
returns bigint language sql as $$ select world.account('customer', name, parent, tariff, opening, credit_limit, currency) $$;

-- 0 = unlimited. Of the fund that the account pays from.
create or replace function world.limits(account text, channels integer default 0, cps integer default 0, channels_in integer default 0,
                                        channels_out integer default 0, day numeric default 0, month numeric default 0)
returns void language sql as $$
  update tandem.fund f
     set channels_max = channels, cps_max = cps, channels_in_max = channels_in, channels_out_max = channels_out,
         day_max_micros = world.micros(day), month_max_micros = world.micros(month)
    from tandem.account a where a.id = (select world.account_id(account)) and f.account_id = a.id and f.currency = a.currency
$$;

create or replace function world.threshold(account text, kind text, amount numeric, lock text default null) returns bigint language sql as $$
  insert into tandem.threshold(account_id, currency, kind, amount_micros, lock)
  select a.id, a.currency, threshold.kind, world.micros(amount), threshold.lock from tandem.account a where a.id = (select world.account_id(account))
  returning id
$$;

create or replace function world.grant(account text, variadic rights text[] default '{}') returns void language sql as $$
  insert into tandem.account_grant(account_id, right_name)
  select a.id, r.name
    from tandem.account a cross join unnest(tandem.rights()) as r(name)
   where a.id = (select world.account_id("grant".account))
     and case when cardinality(rights) > 0 then r.name = any (rights) else tandem.has_right(a.parent_id, r.name) end
  on conflict do nothing
$$;

create or replace function world.lock(account text, lock text, note text default 'test') returns text language sql as $$
  select tandem.lock_v1(world.account_id(account), lock, 'seed', note)
$$;

create or replace function world.money(account text, kind text, amount numeric, note text default 'test', request text default null,
                                       currency text default null) returns uuid language sql as $$
  select tandem.move_v1(world.account_id(account), amount * 1000000, kind, note, 'seed', request, currency)
$$;

create or replace function world.overcommit(account text, percent integer) returns void language sql as $$
  update tandem.account set overcommit_pct = percent where id = (select world.account_id(overcommit.account))
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
  select did.number, s.account_id, s.id from tandem.subscriber s where s.id = (select world.subscriber_id(aor))
  returning id
$$;

-- For worlds whose point lies elsewhere than in who pays what: a minute to the prefix costs the customer 0.012 and its reseller 0.009.
create or replace function world.chain(label text, prefix text) returns bigint language plpgsql as $$
declare
  root     constant text := (select a.name from tandem.account a where a.kind = 'root');
  reseller constant text := label || '-reseller';
  customer constant text := label || '-customer';
begin
  perform world.tariff(root, label, 'EUR', prefix, '0.009 60/60');
  perform world.reseller(reseller, root, label, 50);
  perform world.tariff(reseller, 'retail', 'EUR', prefix, '0.012 60/60');
  perform world.customer(customer, reseller, 'retail', 10);
  perform world.domain(label || '.example', customer);
  return world.subscriber('alice@' || label || '.example', customer, 'demo-secret', prefix || '1000001');
end $$;

create or replace function world.trusted(aor text, network cidr, transport text default '', from_pattern text default '')
returns bigint language sql as $$
  insert into tandem.trusted_source(subscriber_id, network, transport, from_pattern)
  values (world.subscriber_id(aor), network, transport, from_pattern) returning id
$$;

-- A carrier with one server, a deck of its own, and one rule that takes every number.
create or replace function world.carrier_in(owner text, name text, currency text, address inet, port integer, variadic prices text[])
returns bigint language plpgsql as $$
declare
  made bigint;
begin
  insert into tandem.peering_group(account_id, name, tariff_id)
  values (world.account_id(owner), carrier_in.name,
          world.tariff(owner, 'deck of ' || carrier_in.name, carrier_in.currency, variadic prices))
  returning id into made;
  insert into tandem.peering_server(group_id, name, address, port) values (made, carrier_in.name, address, port);
  insert into tandem.peering_rule(group_id) values (made);
  return made;
end $$;

-- A world's reseller pays the root for every call, those that its own carrier carries included, so what it sells at would seldom cover
-- both: the loss guard leaves it alone. A world about the guard says its loss_pct after its carriers; any but 0 may stand before them.
create or replace function world.carrier_of(owner text, name text, address inet, port integer, variadic prices text[])
returns bigint language sql as $$
  update tandem.account a set loss_pct = -1 where a.id = (select world.account_id(owner)) and a.kind <> 'root' and a.loss_pct = 0;
  select world.carrier_in(owner, carrier_of.name, a.currency, address, port, variadic prices) from tandem.account a where a.id = (select world.account_id(owner))
$$;

create or replace function world.carrier_limits(carrier text, owed numeric default null, day numeric default null, month numeric default null)
returns void language sql as $$
  update tandem.peering_group
     set owed_max_micros = world.micros(owed), day_max_micros = world.micros(day), month_max_micros = world.micros(month)
   where id = (select world.carrier_id(carrier))
$$;

create or replace function world.carrier(name text, address inet, port integer, variadic prices text[]) returns bigint
language sql as $$
  select world.carrier_of((select a.name from tandem.account a where a.kind = 'root'), name, address, port, variadic prices)
$$;

create or replace function world.server(carrier text, name text, address inet, port integer, weight integer default 10)
returns bigint language sql as $$
  insert into tandem.peering_server(group_id, name, address, port, weight)
  values (world.carrier_id(carrier), name, address, port, weight) returning id
$$;

drop function if exists world.rule(text, text, text, text, boolean);
create or replace function world.rule(carrier text, callee_prefix text, callee_pattern text default '', caller_pattern text default '',
                                      stopper boolean default false, block boolean default false, time_set text default null,
                                      valid_from timestamptz default null, valid_to timestamptz default null, description text default '',
                                      enabled boolean default true) returns bigint language sql as $$
  insert into tandem.peering_rule(group_id, callee_prefix, callee_pattern, caller_pattern, stopper, block, time_set_id, valid_from, valid_to,
                                  description, enabled)
  values (world.carrier_id(carrier), callee_prefix, callee_pattern, caller_pattern, stopper, block, world.time_set_id(time_set), valid_from, valid_to,
          description, enabled)
  returning id
$$;

create or replace function world.no_rules(carrier text) returns void language sql as $$
  delete from tandem.peering_rule where group_id = (select world.carrier_id(carrier))
$$;

-- The next inbound rule of a carrier. code null: when it does not match the carrier is passed over.
create or replace function world.inbound(carrier text, field text, part text, pattern text, code integer default null, phrase text default null)
returns bigint language sql as $$
  insert into tandem.inbound_rule(group_id, priority, field, part, pattern, code, phrase)
  select world.carrier_id(carrier), 1 + coalesce(max(r.priority), 0), inbound.field, inbound.part, inbound.pattern, inbound.code, inbound.phrase
    from tandem.inbound_rule r where r.group_id = (select world.carrier_id(carrier))
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

-- Sets the column `key` of the row `id` of a table to a value as text; a list may come without its braces.
create or replace function world.set_option(of_table text, id bigint, key text, value text) returns void language plpgsql as $$
declare
  is_list constant boolean := (select a.attndims > 0 from pg_attribute a
                                where a.attrelid = ('tandem.' || of_table)::regclass and a.attname = key and a.attnum > 0 and not a.attisdropped);
begin
  if is_list is null then
    raise exception 'world: % has no %', of_table, key;
  end if;
  execute format('update tandem.%I set %I = %L where id = %L', of_table, key,
                 case when is_list and value !~ '^\{' then '{' || value || '}' else value end, id);
end $$;

create or replace function world.account_option(account text, key text, value text) returns void language sql as $$
  select world.set_option('account', world.account_id(account), key, value)
$$;

create or replace function world.subscriber_option(aor text, key text, value text) returns void language sql as $$
  select world.set_option('subscriber', world.subscriber_id(aor),
                          case key when 'rewrite_set' then 'rewrite_set_id' when 'user' then 'user_id' else key end,
                          case when key = 'user' and value is not null then world.named('user', value)::text else value end)
$$;

create or replace function world.domain_option(domain text, key text, value text) returns void language sql as $$
  select world.set_option('sip_domain', world.domain_id(domain), case key when 'rewrite_set' then 'rewrite_set_id' else key end, value)
$$;

create or replace function world.carrier_option(carrier text, key text, value text) returns void language sql as $$
  select world.set_option('peering_group', world.carrier_id(carrier), case key when 'rewrite_set' then 'rewrite_set_id' else key end, value)
$$;

-- By "<carrier>/<server>", or by a name that only one server has.
create or replace function world.server_id(of_name text) returns bigint language plpgsql as $$
declare
  ids bigint[] := array(select s.id from tandem.peering_server s join tandem.peering_group g on g.id = s.group_id
                         where of_name in (s.name, g.name || '/' || s.name));
begin
  if cardinality(ids) <> 1 then
    raise exception 'world: % servers are called %', cardinality(ids), of_name;
  end if;
  return ids[1];
end $$;

create or replace function world.peer_option(server text, key text, value text) returns void language plpgsql as $$
declare
  this_server constant bigint := world.server_id(server);
  said        text[];
begin
  if key = 'login' then  -- the realm may hold colons, a user name may not
    said := regexp_match(value, '^([^:]+):(.+):([^:]+)$');
    update tandem.peering_server s
       set login_username = said[1], login_realm = said[2], login_ha1 = md5(value), login_register_s = case when said is null then 0 else s.login_register_s end
     where s.id = this_server;
  else
    perform world.set_option('peering_server', this_server, case key when 'rewrite_set' then 'rewrite_set_id' else key end, value);
  end if;
end $$;

create or replace function world.server_named(carrier text, name text, host text, port integer, weight integer default 10)
returns bigint language sql as $$
  insert into tandem.peering_server(group_id, name, host, port, weight)
  values (world.carrier_id(carrier), name, host, port, weight) returning id
$$;

create or replace function world.resolved(server text, variadic addresses inet[] default '{}') returns void language plpgsql as $$
declare
  this_server constant bigint := world.server_id(server);
begin
  delete from tandem.peering_server_address a where a.server_id = this_server and a.address <> all (addresses);
  insert into tandem.peering_server_address(server_id, address) select this_server, ip from unnest(addresses) as ip on conflict do nothing;
end $$;

create or replace function world.hunt(server text, status integer, action text, told_status integer default null, told_phrase text default null)
returns void language sql as $$
  insert into tandem.hunt_rule(server_id, status, action, told_status, told_phrase)
  values (world.server_id(server), status, action, told_status, told_phrase)
  on conflict (server_id, status) do update set action = excluded.action, told_status = excluded.told_status, told_phrase = excluded.told_phrase
$$;

create or replace function world.quality(server text, asr_pct double precision, acd_s double precision, pdd_ms double precision,
                                         calls double precision default 100) returns void language sql as $$
  insert into tandem.server_quality(server_id, attempts, answered, talk_s, rung, pdd_ms)
  select world.server_id(server), calls, answered, answered * acd_s, calls, calls * quality.pdd_ms from (select calls * asr_pct / 100 as answered) as c
  on conflict (server_id) do update set attempts = excluded.attempts, answered = excluded.answered, talk_s = excluded.talk_s,
                                        rung = excluded.rung, pdd_ms = excluded.pdd_ms, at = now()
$$;

create or replace function world.days(of_set bigint, of_kind text, said text[]) returns void language plpgsql as $$
declare
  one   text;
  parts text[];
begin
  foreach one in array said loop
    parts := regexp_match(one, '^((?:[0-9]{4}-)?[0-9]{2}-[0-9]{2})(?:\.\.((?:[0-9]{4}-)?[0-9]{2}-[0-9]{2}))?$');
    if parts is null then
      raise exception 'world: % is no day and no range of days', one;
    end if;
    insert into tandem.time_set_day(time_set_id, kind, first_day, last_day)
    values (of_set, of_kind, replace(parts[1], '-', '')::integer, replace(coalesce(parts[2], parts[1]), '-', '')::integer);
  end loop;
end $$;

create or replace function world.time_set(owner text, name text, timezone text default 'UTC', spans text[] default '{}', shut text[] default '{}',
                                          open text[] default '{}') returns bigint language plpgsql as $$
declare
  made bigint;
begin
  insert into tandem.time_set(account_id, name, timezone) values (world.account_id(owner), time_set.name, time_set.timezone) returning id into made;
  insert into tandem.time_set_span(time_set_id, span) select made, span from unnest(world.spans(spans)) as span on conflict do nothing;
  perform world.days(made, 'shut', shut), world.days(made, 'open', open);
  return made;
end $$;

create or replace function world.barring(owner text, name text, mode text, patterns text[], time_set text default null,
                                         spares_internal boolean default false) returns bigint language sql as $$
  with level as (
    insert into tandem.barring_level(account_id, name, mode, spares_internal, time_set_id)
    values (world.account_id(owner), barring.name, barring.mode, barring.spares_internal, world.time_set_id(barring.time_set))
    returning id
  ), rule as (
    insert into tandem.barring_rule(barring_level_id, pattern) select level.id, pattern from level, unnest(patterns) as pattern
  )
  select id from level
$$;

create or replace function world.bar(who text, level text, side text default 'admin') returns void language plpgsql as $$
declare
  ids bigint[] := array(select b.id from tandem.barring_level b where b.name = level);
begin
  if cardinality(ids) <> 1 and level is not null then
    raise exception 'world: % barring levels are called %', cardinality(ids), level;
  elsif side not in ('admin', 'own') then
    raise exception 'world: a level is set by admin or own, not by %', side;
  end if;
  perform world.set_option(case when who like '%@%' then 'subscriber' else 'account' end,
                           case when who like '%@%' then world.subscriber_id(who) else world.account_id(who) end,
                           case side when 'own' then 'own_barring_id' else 'barring_id' end, ids[1]::text);
end $$;

create or replace function world.ported(digits text, routing text, carrier text default null) returns void language sql as $$
  insert into tandem.ported_number(digits, routing, group_id)
  values (digits, routing, case when carrier is not null then world.carrier_id(carrier) end)
$$;

create or replace function world.destination(prefix text, seconds integer) returns void language sql as $$
  insert into tandem.destination(prefix, expected_s) values (prefix, seconds)
  on conflict on constraint destination_pkey do update set expected_s = excluded.expected_s
$$;

create or replace function world.emergency(number text, carriers text[], domain text default '', region text default '', routing text default '')
returns bigint language sql as $$
  insert into tandem.emergency_route(number, group_ids, domain, region, routing)
  select number, array_agg(world.carrier_id(carrier) order by place), domain, region, routing from unnest(carriers) with ordinality as c(carrier, place)
  returning id
$$;

create or replace function world.reply(account text, reason text, status integer, phrase text) returns void language sql as $$
  insert into tandem.reply_override(account_id, reason, status, phrase) values (world.account_id(account), reason, status, phrase)
$$;

-- People

-- What a destination means; null: nothing.
create or replace function world.destination(said text, out line bigint, out person bigint, out people bigint, out flow bigint, out number text,
                                             out media bigint, out box text) language plpgsql as $$
declare
  kind constant text := substring(said from '^(user|group|callflow|number|media):');
  rest constant text := substring(said from '^[a-z]+:(.*)$');
begin
  case kind
    when 'user' then person := world.named('user', rest);
    when 'group' then people := world.named('ring_group', rest);
    when 'callflow' then flow := world.named('callflow', rest);
    when 'number' then number := rest;
    when 'media' then
      media := world.named('media_server', split_part(rest, '/', 1));
      box := split_part(rest, '/', 2);
    else
      if said is not null then
        line := world.subscriber_id(said);
      end if;
  end case;
end $$;

create or replace function world.user(name text, account text, variadic lines text[] default '{}') returns bigint language plpgsql as $$
declare
  made bigint;
  line text;
begin
  insert into tandem.user(account_id, name) values (world.account_id(account), "user".name) returning id into made;
  foreach line in array lines loop
    perform world.subscriber_option(line, 'user', "user".name);
  end loop;
  return made;
end $$;

create or replace function world.user_option(of_user text, key text, value text) returns void language sql as $$
  select world.set_option('user', world.named('user', of_user), key, value)
$$;

create or replace function world.ring_group(name text, account text, policy text, members text[], member_s integer default 0, total_s integer default 0,
                                            skip_busy boolean default false, overflow text default null) returns bigint language plpgsql as $$
declare
  made bigint;
begin
  insert into tandem.ring_group(account_id, name, policy, member_s, total_s, skip_busy, overflow_subscriber_id, overflow_user_id,
                                overflow_ring_group_id, overflow_callflow_id, overflow_e164, overflow_media_server_id, overflow_media_user)
  select world.account_id(account), ring_group.name, ring_group.policy, ring_group.member_s, ring_group.total_s, ring_group.skip_busy,
         d.line, d.person, d.people, d.flow, d.number, d.media, d.box
    from world.destination(overflow) as d
  returning id into made;
  insert into tandem.ring_group_member(ring_group_id, position, subscriber_id, user_id, ring_s)
  select made, m.place, d.line, d.person, coalesce(substring(m.said from ' ([0-9]+)$')::integer, 0)
    from unnest(members) with ordinality as m(said, place)
    cross join lateral world.destination(regexp_replace(m.said, ' [0-9]+$', '')) as d;
  return made;
end $$;

create or replace function world.media_server(owner text, name text, address inet, port integer default 0, transport text default 'udp')
returns bigint language sql as $$
  insert into tandem.media_server(account_id, name, address, port, transport) values (world.account_id(owner), name, address, port, transport)
  returning id
$$;

create or replace function world.callflow(name text, account text, variadic steps text[] default '{}') returns bigint language plpgsql as $$
declare
  made  bigint;
  said  text;
  parts text[];
  to_   record;
begin
  insert into tandem.callflow(account_id, name) values (world.account_id(account), callflow.name) returning id into made;
  for place in 1 .. cardinality(steps) loop
    said := steps[place];
    case
      when said ~ '^ring ' then
        parts := regexp_match(said, '^ring (.*?)(?: ([0-9]+))?$');
        to_ := world.destination(parts[1]);
        insert into tandem.callflow_step(callflow_id, position, kind, subscriber_id, user_id, ring_group_id, ring_s)
        values (made, place, 'ring', to_.line, to_.person, to_.people, coalesce(parts[2]::integer, 0));
      when said ~ '^forward [0-9]+$' then
        insert into tandem.callflow_step(callflow_id, position, kind, e164) values (made, place, 'forward', substring(said from 9));
      when said ~ '^flow ' then
        insert into tandem.callflow_step(callflow_id, position, kind, flow_id) values (made, place, 'flow', world.named('callflow', substring(said from 6)));
      when said ~ '^media .+/' then
        to_ := world.destination(replace(said, 'media ', 'media:'));
        insert into tandem.callflow_step(callflow_id, position, kind, media_server_id, media_user) values (made, place, 'media', to_.media, to_.box);
      when said ~ '^reject [0-9]{3}' then
        insert into tandem.callflow_step(callflow_id, position, kind, status, phrase)
        values (made, place, 'reject', substring(said from 8 for 3)::integer, substring(said from 12));
      when said ~ '^time .* else [0-9]+$' then
        parts := regexp_match(said, '^time (.*) else ([0-9]+)$');
        insert into tandem.callflow_step(callflow_id, position, kind, time_set_id, otherwise)
        values (made, place, 'time', world.time_set_id(parts[1]), parts[2]::integer);
      when said ~ '^caller .* else [0-9]+$' then
        parts := regexp_match(said, '^caller (.*) else ([0-9]+)$');
        insert into tandem.callflow_step(callflow_id, position, kind, callers, otherwise)
        values (made, place, 'caller', string_to_array(parts[1], ','), parts[2]::integer);
      else
        raise exception 'world: % is no step', said;
    end case;
  end loop;
  return made;
end $$;

create or replace function world.extension(dialled text, account text, said text) returns bigint language sql as $$
  insert into tandem.extension(account_id, dialled, subscriber_id, user_id, ring_group_id, callflow_id, e164, media_server_id, media_user)
  select world.account_id(account), dialled, d.line, d.person, d.people, d.flow, d.number, d.media, d.box from world.destination(said) as d
  returning id
$$;

create or replace function world.number(e164 text, account text, said text) returns bigint language sql as $$
  insert into tandem.number(account_id, e164, subscriber_id, user_id, ring_group_id, callflow_id, media_server_id, media_user)
  select world.account_id(account), number.e164, d.line, d.person, d.people, d.flow, d.media, d.box from world.destination(said) as d
  returning id
$$;

create or replace function world.forward(who text, kind text, said text, after_s integer default 0, time_set text default null,
                                         callers text[] default '{}') returns bigint language plpgsql as $$
declare
  whose constant record := world.destination(who);
  made  bigint;
begin
  insert into tandem.forward(subscriber_id, user_id, kind, priority, after_s, time_set_id, callers, to_subscriber_id, to_user_id, to_ring_group_id,
                             to_callflow_id, to_e164, to_media_server_id, to_media_user)
  select whose.line, whose.person, forward.kind,
         1 + (select count(*) from tandem.forward f where f.kind = forward.kind and (f.subscriber_id = whose.line or f.user_id = whose.person)),
         forward.after_s, world.time_set_id(forward.time_set), forward.callers, d.line, d.person, d.people, d.flow, d.number, d.media, d.box
    from world.destination(said) as d
  returning id into made;
  return made;
end $$;

create or replace function world.place(aor text, address inet, port integer default 0, priority integer default 0, weight integer default 1,
                                       transport text default 'udp') returns bigint language sql as $$
  insert into tandem.trunk_place(subscriber_id, address, port, priority, weight, transport)
  values (world.subscriber_id(aor), address, port, priority, weight, transport) returning id
$$;
