-- A few rows in every table, for the accounts that are there: each has two of what is its own, one in use ("used") and one that
-- nothing names ("idle"), and uses things of its own or of accounts above it, as random() says (the caller has set its seed).
-- What only triggers or other programs write is written at the end, with triggers off.

create function pg_temp.above(of_account bigint) returns bigint[] language sql as $$
  select array_agg(c.account_id) from tandem.chain(of_account) as c
$$;

insert into tandem.contact(account_id, email) select id, 'one@a' || id || '.example' from tandem.account;
update tandem.account a set contact_id = c.id from tandem.contact c where c.account_id = a.id;

insert into tandem.rewrite_set(account_id, name) select id, w from tandem.account, unnest(array['used', 'idle']) as w;
insert into tandem.rewrite_rule(rewrite_set_id, side, priority, pattern, replacement)
select id, 'callee_in', 1, '^00', '' from tandem.rewrite_set;

insert into tandem.time_set(account_id, name) select id, w from tandem.account, unnest(array['used', 'idle']) as w;
insert into tandem.time_set_span(time_set_id, span) select id, int4range(480, 1080) from tandem.time_set;
insert into tandem.time_set_day(time_set_id, kind, first_day, last_day) select id, 'shut', 1224, 1226 from tandem.time_set;

insert into tandem.barring_level(account_id, name, mode, time_set_id)
select a.id, w, 'blacklist', case w when 'used' then (
         select t.id from tandem.time_set t where t.account_id = any (pg_temp.above(a.id)) and t.name = 'used' order by random() limit 1) end
  from tandem.account a, unnest(array['used', 'idle']) as w;
insert into tandem.barring_rule(barring_level_id, pattern) select id, '^1900' from tandem.barring_level;

update tandem.account a
   set barring_id = (select b.id from tandem.barring_level b
                      where b.account_id = any (pg_temp.above(a.id)) and b.name = 'used' order by random() limit 1),
       own_barring_id = (select b.id from tandem.barring_level b
                          where b.account_id = any (pg_temp.above(a.id)) and b.name = 'used' order by random() limit 1)
 where random() < 0.7;

insert into tandem.sip_domain(account_id, name, rewrite_set_id)
select a.id, 'd' || a.id || '.example', (
         select r.id from tandem.rewrite_set r where r.account_id = any (pg_temp.above(a.id)) and r.name = 'used' order by random() limit 1)
  from tandem.account a where a.kind <> 'customer';

insert into tandem.subscriber(account_id, sip_domain_id, username, ha1_md5, rewrite_set_id, barring_id, own_barring_id)
select a.id, d.id, 'u' || a.id, md5('u' || a.id), (
         select r.id from tandem.rewrite_set r where r.account_id = any (pg_temp.above(a.id)) and r.name = 'used' order by random() limit 1),
       (select b.id from tandem.barring_level b
         where b.account_id = any (pg_temp.above(a.id)) and b.name = 'used' order by random() limit 1),
       (select b.id from tandem.barring_level b
         where b.account_id = any (pg_temp.above(a.id)) and b.name = 'used' order by random() limit 1)
  from tandem.account a
 cross join lateral (select s.id from tandem.sip_domain s where s.account_id = any (pg_temp.above(a.id)) order by random() limit 1) as d;
insert into tandem.trusted_source(subscriber_id, network) select id, ('10.0.' || id || '.1/32')::cidr from tandem.subscriber;
insert into tandem.number(account_id, e164, subscriber_id) select account_id, '4420' || 1000 + id, id from tandem.subscriber;
update tandem.subscriber s set cli = n.e164, allowed_clis = array[n.e164 || '*'], lock = case when s.id % 2 = 0 then 'foreign' else 'none' end
  from tandem.number n where n.subscriber_id = s.id;
insert into tandem.reply_override(account_id, reason, status, phrase) select id, 'no_funds', 480, 'Later' from tandem.account;

-- People, beside lines: what is in use, and what nothing names.
insert into tandem.user(account_id, name) select id, w from tandem.account, unnest(array['used', 'idle']) as w;
update tandem.subscriber s set user_id = u.id from tandem.user u where u.account_id = s.account_id and u.name = 'used';
insert into tandem.media_server(account_id, name, address) select id, w, '198.19.0.0'::inet + id % 65536 from tandem.account, unnest(array['used', 'idle']) as w;
insert into tandem.ring_group(account_id, name) select id, w from tandem.account, unnest(array['used', 'idle']) as w;
insert into tandem.ring_group_member(ring_group_id, position, subscriber_id)
select g.id, 1, s.id from tandem.ring_group g join tandem.subscriber s using (account_id) where g.name = 'used';
insert into tandem.callflow(account_id, name) select id, w from tandem.account, unnest(array['used', 'idle']) as w;
insert into tandem.callflow_step(callflow_id, position, kind, time_set_id, otherwise, user_id, status)
select c.id, p, k, case k when 'time' then t.id end, case k when 'time' then 3 end, case k when 'ring' then u.id end, case k when 'reject' then 480 end
  from tandem.callflow c
  join tandem.user u on u.account_id = c.account_id and u.name = 'used'
 cross join (values (1, 'time'), (2, 'ring'), (3, 'reject')) as v(p, k)
 cross join lateral (select t.id from tandem.time_set t where t.account_id = any (pg_temp.above(c.account_id)) and t.name = 'used'
                      order by random() limit 1) as t
 where c.name = 'used';
insert into tandem.extension(account_id, dialled, user_id) select account_id, '200', id from tandem.user where name = 'used';
insert into tandem.forward(subscriber_id, kind, to_e164, time_set_id)
select s.id, 'busy', '4930' || 1000 + s.id, t.id from tandem.subscriber s
 cross join lateral (select t.id from tandem.time_set t where t.account_id = any (pg_temp.above(s.account_id)) and t.name = 'used'
                      order by random() limit 1) as t;
insert into tandem.trunk_place(subscriber_id, address) select id, ('198.18.0.' || id)::inet from tandem.subscriber;

-- Prices: of each seller the tariff 'prices', with a version in force, a layer over it that is being built, and a deck to come.
insert into tandem.tariff(account_id, name, currency) select id, 'deck', 'EUR' from tandem.account where kind <> 'customer';
insert into tandem.rate_set(tariff_id, version) select id, 1 from tandem.tariff;
insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s, next_s) select id, 0, 20000, 1, 1 from tandem.rate_set;
insert into tandem.rate_period(rate_set_id, idx, name, spans) select id, 0, 'peak', '{"[480,1080)"}' from tandem.rate_set;
insert into tandem.rate_class_period(rate_set_id, class_idx, period_idx, per_min_micros) select id, 0, 0, 30000 from tandem.rate_set;
insert into tandem.rate(rate_set_id, prefix, class_idx) select id, '44', 0 from tandem.rate_set;
update tandem.rate_set set state = 'ready';
update tandem.tariff t set rate_set_id = s.id from tandem.rate_set s where s.tariff_id = t.id;
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) select tariff_id, now() + interval '1 day', id from tandem.rate_set;
insert into tandem.rate_set(tariff_id, version, base_id) select tariff_id, 2, id from tandem.rate_set;
insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s, next_s) select id, 0, 20000, 1, 1 from tandem.rate_set where version = 2;
insert into tandem.rate_field(rate_set_id, field) select id, '4420' from tandem.rate_set where version = 2;
insert into tandem.rate(rate_set_id, prefix, class_idx) select id, '4420', 0 from tandem.rate_set where version = 2;

-- Carriers of the root and of each reseller.
insert into tandem.peering_group(account_id, name, tariff_id, contact_id)
select t.account_id, 'carrier' || t.account_id, t.id, c.id
  from tandem.tariff t join tandem.contact c using (account_id) where t.name = 'deck';
insert into tandem.peering_server(group_id, name, address, login_username, login_realm, login_ha1)
select id, 'server', ('192.0.2.' || id)::inet, 'tandem', 'carrier', md5('secret') from tandem.peering_group;
insert into tandem.peering_rule(group_id, callee_prefix, time_set_id)
select g.id, '44', (select t.id from tandem.time_set t where t.account_id = any (pg_temp.above(g.account_id)) order by random() limit 1)
  from tandem.peering_group g;
insert into tandem.inbound_rule(group_id, priority, field, part, pattern) select id, 1, 'from', 'user', '^[0-9]' from tandem.peering_group;
insert into tandem.hunt_rule(server_id, status, action) select id, 486, 'stop' from tandem.peering_server;
insert into tandem.ported_number(digits, routing, group_id) select '4479', '4479', id from tandem.peering_group order by id limit 1;
insert into tandem.emergency_route(number, group_ids) select '112', array[id] from tandem.peering_group order by id limit 1;
insert into tandem.destination(prefix, expected_s) values ('44', 120), ('49', 180);
insert into tandem.exchange_rate(base, quote, valid_from, rate) values ('EUR', 'USD', '2020-01-01', 1.1);

-- Money.
select tandem.topup_v1(id, 5000000, 'opening', 'world') from tandem.account where kind <> 'root';
insert into tandem.threshold(account_id, currency, kind, amount_micros, lock)
select account_id, currency, k, 1000, case k when 'balance' then 'foreign' end from tandem.fund, unnest(array['balance', 'day']) as k;

insert into tandem.import_file(account_id, kind, target_id, target, file_name, sha256, lines, summary)
select account_id, 'numbers', account_id, 'numbers', 'numbers.csv', repeat('0', 64), 1, '{}' from tandem.number;
insert into tandem.import_change(import_id, key, after) select id, 1, '{}' from tandem.import_file;

set local session_replication_role = replica;
insert into tandem.fund_window(account_id, currency, kind, window_id, spent_micros)
select f.account_id, f.currency, w.kind, to_char(now(), w.form)::integer, 1
  from tandem.fund f cross join (values ('day', 'YYYYMMDD'), ('month', 'YYYYMM')) as w(kind, form) on conflict do nothing;
update tandem.fund_calendar set opening_version = 1, opening_month_id = to_char(now(), 'YYYYMM')::integer where account_id % 2 = 0;
insert into tandem.alert(threshold_id, account_id, currency, kind, amount_micros, value_micros)
select id, account_id, currency, kind, amount_micros, 0 from tandem.threshold;
insert into tandem.threshold_state(threshold_id, is_crossed) select id, false from tandem.threshold on conflict do nothing;
insert into tandem.fund_loss(account_id, currency, epoch, fund_n, events) select account_id, currency, 1, 1, 1 from tandem.fund;
insert into tandem.carrier_owed(group_id, currency, owed_micros, day_id, day_micros, month_id, month_micros)
select id, 'EUR', 10, 20261101, 10, 202611, 10 from tandem.peering_group;
insert into tandem.peering_server_address(server_id, address, resolved_at) select id, ('198.51.100.' || id)::inet, now() from tandem.peering_server;
insert into tandem.peering_server_lookup(server_id, host, fault, since) select id, 'sip.example', 'no answer', now() from tandem.peering_server;
insert into tandem.server_quality(server_id, attempts, answered, talk_s, rung, pdd_ms, at) select id, 30, 20, 100, 25, 500, now() from tandem.peering_server;
insert into tandem.server_calls(server_id, minute_at, attempts, answered, talk_ms, rung, pdd_ms) select id, now(), 3, 2, 100, 2, 5 from tandem.peering_server;

insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, group_id)
select gen_random_uuid(), gen_random_uuid(), a.id, b, 'EUR', 1, 'pg', case b when 'carrier' then 1 end
  from tandem.account a, unnest(array['income', 'cost', 'carrier', 'fx_sold']) as b;
insert into tandem.account_hold(account_id, kind, set_by) select id, 'lock', parent_id from tandem.account where kind <> 'root';
insert into tandem.account_move(account_id, moved_at) select id, now() from tandem.account where kind <> 'root';
-- Some came to be seen by a move, after all of this or before it, or before this month.
update tandem.visibility
   set since = now() + case when random() < 0.5 then interval '1 day' when random() < 0.5 then interval '-1 day' else interval '-40 days' end
 where viewer_id <> account_id and random() < 0.5;
insert into tandem.cdr(rid, call_id, node, started_at, ended_at, direction, source, account_id, caller, callee, outcome, sip_status)
select 'r' || id, 'c' || id, 'n1', now(), now(), (array['out', 'in', 'internal'])[1 + id % 3], 's', id, '44201', '44202', 'answered', 200
  from tandem.account;
insert into tandem.cdr_attempt(rid, n, server_id, status, why) select 'r' || id, 1, 1, 200, 'first' from tandem.account;
insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, book)
select 'r' || a.id, c.distance + 1, c.account_id, p.parent_id, 'EUR', 10 - c.distance, 'fund'
  from tandem.account a cross join lateral tandem.chain(a.id) as c join tandem.account p on p.id = c.account_id where p.parent_id is not null;
insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, book)
select 'r' || a.id, 9, g.account_id, g.account_id, 'EUR', 1, 'cost'
  from tandem.account a
 cross join lateral (select p.account_id from tandem.peering_group p where p.account_id = any (pg_temp.above(a.id)) order by random() limit 1) as g;

-- The platform's own.
insert into tandem.epoch(number, state, note) values (1, 'lost', 'world');
insert into tandem.node(name) values ('n1');
insert into tandem.event_poison(stream_id, reason, payload) values ('1-1', 'world', '\x00');
insert into tandem.event_dropped(digest, note) values (sha256('world'), 'world');
insert into tandem.noc_measure(stream_id, at, act, measure, kind, value, until, who, node)
values ('1-1', now(), 'begin', 'quarantine', 'account', '1', now(), 'world', 'n1');
insert into tandem.recovery(epoch, report) values (1, '{}');
insert into tandem.recovery_step(epoch, step, said) values (1, 'begun', 'world');
insert into tandem.generation(config_pass, applied_at) values (1, now());
insert into tandem.sync_applied(version, at) values (1, now());
insert into tandem.sync_state(cell, unsure, drift) values (99, '{}', 0) on conflict do nothing;
insert into tandem.ledger_unbalanced(txn_id) values (gen_random_uuid());
insert into tandem.rate_set_unused(rate_set_id) select min(id) from tandem.rate_set where version = 1 on conflict do nothing;
set local session_replication_role = origin;
