-- Changes to the demo world, a block each, that touch what the sync views show. After each of them the outbox must name
-- every row of every view that differs from before.

select world.customer('Epsilon', 'South', 'retail', 5, 1);

update tandem.account set name = 'Alpha Two', timezone = 'Europe/Berlin' where name = 'Alpha';

update tandem.account set status = 'suspended';

update tandem.account set routing = '{cost}', barred = '{1900}' where kind <> 'root';

insert into tandem.sip_domain(account_id, name) values (1, 'top.example');
update tandem.subscriber set sip_domain_id = (select id from tandem.sip_domain where name = 'top.example') where account_id = 6;
update tandem.account set parent_id = 1, tariff_id = 4 where name = 'Fjord';

delete from tandem.subscriber where username = 'dave';
update tandem.account set status = 'closed', closed_at = now() - interval '31 days' where name = 'Delta';
delete from tandem.account where name = 'Delta';

insert into tandem.currency(code, scale) values ('SEK', 2);
select world.tariff('South', 'kronor', 'SEK', '44', '0.3');
update tandem.account set currency = 'SEK', tariff_id = (select id from tandem.tariff where name = 'kronor') where name = 'Gamma';

insert into tandem.reply_override(account_id, reason, status, phrase) values (2, 'credit', 402, 'Pay'), (5, 'credit', 403, 'Pay');

insert into tandem.reply_override(account_id, reason, status, phrase) values (2, 'credit', 402, 'Pay');
update tandem.reply_override set account_id = 3;

insert into tandem.reply_override(account_id, reason, status, phrase) values (2, 'credit', 402, 'Pay');
delete from tandem.reply_override;
insert into tandem.reply_override(account_id, reason, status, phrase) values (3, 'credit', 402, 'Pay');

select world.domain('c.example', 'Alpha');

update tandem.sip_domain set name = 'c.example', enabled = false where name = 'a.example';

update tandem.sip_domain set rewrite_set_id = null;

select world.domain('c.example', 'Alpha');
delete from tandem.sip_domain where name = 'c.example';
update tandem.sip_domain set enabled = false;

select world.subscriber('erin@a.example', 'Alpha', 'x', '442079460009');

update tandem.subscriber set username = username || '2', cli = null, cli_policy = 'anonymise', allowed_clis = '{*}';

update tandem.subscriber set ha1_md5 = null, ha1_sha256 = null, status = 'closed', rewrite_set_id = null;

update tandem.subscriber set sip_domain_id = (select world.domain('c.example', 'Tandem'));

delete from tandem.subscriber where username in ('pbx', 'desk');

select world.trusted('alice@a.example', '10.0.0.0/8'), world.trusted('alice@a.example', '2001:db8::/32', 'tls', '^sips:');

update tandem.trusted_source set network = '10.0.0.0/24', transport = 'tcp' where id = 1;

update tandem.trusted_source set enabled = false, from_pattern = 'x';

update tandem.trusted_source set subscriber_id = 1;

delete from tandem.trusted_source;

select world.did('442079460009', 'alice@a.example');

update tandem.number set e164 = '442079460009' where e164 = '442079460001';

update tandem.number set subscriber_id = 1, account_id = 5, status = 'suspended';

update tandem.number set subscriber_id = null;

delete from tandem.number;

select world.rewrite('North', 'as dialled in the UK', 'caller_out', '^44', '0');

update tandem.rewrite_set set name = name || ' and more';

update tandem.rewrite_rule set rewrite_set_id = 7, priority = 20 where rewrite_set_id = 11;

update tandem.rewrite_rule set priority = priority + 1, replacement = '1', pattern = '^x';

delete from tandem.rewrite_rule;

insert into tandem.rewrite_set(account_id, name) values (1, 'other');
update tandem.sip_domain set rewrite_set_id = null where account_id = 2;
delete from tandem.rewrite_set where account_id = 2;

select world.carrier('delta', '127.0.1.4', 5080, '7', '0.01');

select world.carrier_of('North', 'own', '2001:db8::5', 5060, '44', '0.001');

update tandem.peering_group set name = name || ' two', priority = 9, rewrite_set_id = null;

update tandem.peering_group set enabled = false;

update tandem.peering_group set tariff_id = 1;

update tandem.peering_group set enabled = false, disabled_at = now() - interval '31 days' where name = 'crown';
delete from tandem.peering_group where name = 'crown';

select world.server('acme', 'second', '127.0.1.5', 5080, 20);

update tandem.peering_server set name = 'x', weight = 1, port = 5090, transport = 'tcp';

update tandem.peering_server set address = '127.0.1.9', aliases = '{198.51.100.0/24}' where id = 1;

update tandem.peering_server set group_id = 2 where id = 1;

update tandem.peering_server set enabled = false;

delete from tandem.peering_server;

select world.rule('acme', '44'), world.rule('acme', '49', '^sip:49[1-9]', '^sip:44', true);

update tandem.peering_rule set callee_prefix = '4';

select world.carrier_of('North', 'own', '2001:db8::5', 5060, '44', '0.001');
update tandem.peering_rule set group_id = (select id from tandem.peering_group where name = 'own'), callee_pattern = id::text;

update tandem.peering_rule set group_id = 1, callee_pattern = id::text, stopper = true, enabled = false;

delete from tandem.peering_rule;

select world.inbound('crown', 'pai', 'uri', '^sip:', 403, 'No');

update tandem.inbound_rule set group_id = 3, enabled = true, pattern = 'x' where id = 1;

update tandem.inbound_rule set enabled = false;

delete from tandem.inbound_rule;

select world.tariff('North', 'retail', 'EUR', '44', '0.99'), world.tariff('North', 'new', 'EUR', '44', 'forbidden');

update tandem.tariff set name = name || ' two', rate_set_id = null;

update tandem.tariff set rate_set_id = null where id = 4;
delete from tandem.rate_set where id = 4;

update tandem.fund set credit_limit_micros = -1, channels_max = 5, cps_max = 6;

update tandem.fund set channels_in_max = 5, channels_out_max = 6, day_max_micros = 7, month_max_micros = 8;

update tandem.fund set day_max_micros = 7;
update tandem.fund_calendar set first_day = first_day - 3;

update tandem.fund set month_max_micros = 7;
update tandem.account set timezone = 'Asia/Tokyo' where kind <> 'root';

update tandem.account set lock = 'outgoing' where kind <> 'root';

select world.tariff_option('North', 'retail', 'Europe/Berlin', 'half_even', 0.01, 'all');

select world.deck('North', 'retail', '2031-01-01', '44', '0.5'), world.deck('North', 'retail', '2032-01-01');

select world.deck('North', 'retail', '2031-01-01', '44', '0.5');
update tandem.tariff_deck set valid_from = '2031-02-01';
delete from tandem.tariff_deck;

alter table tandem.tariff_deck disable trigger refuse_past_deck;
alter table tandem.exchange_rate disable trigger refuse_past_rate;
select world.deck('North', 'retail', '2021-01-01', '44', '0.5'), world.deck('North', 'retail', '2022-01-01', '44', '0.6');
select world.exchange('EUR', 'USD', 1.1, '2021-01-01'), world.exchange('EUR', 'USD', 1.2, '2022-01-01');
update tandem.horizon set at = '2021-06-01';

select world.inbound_rates('North', 'retail', '44', '0.01');
select world.inbound_rates('South', 'retail', '44', '0.01'), world.inbound_rates('North', 'retail');

select world.period('peak', 'Mon-Fri 08:00-18:00');
select world.tariff('North', 'retail', 'EUR', '44', '0.01 min 0.5 @peak 0.02+0.01');

select world.exchange('EUR', 'USD', 1.1), world.exchange('USD', 'EUR', 0.9, '2031-01-01');
update tandem.exchange_rate set rate = 0.91 where base = 'USD';
delete from tandem.exchange_rate where base = 'USD';

select world.carrier_limits('acme', owed => 0);

select world.carrier_limits('acme', owed => 5);
select tandem.reverse_v1(tandem.pay_carrier_v1(1, 6000000, 'too much', 'ann'), 'wrong', 'ann');
select tandem.pay_carrier_v1(2, 6000000, 'note', 'ann');
select world.carrier_limits('acme', owed => 0);

insert into tandem.fund(account_id, currency) values (5, 'USD');

select tandem.topup_v1(id, 1000000, 'gift', 'test') from tandem.account where kind <> 'root';

insert into tandem.emergency_route(domain, number, group_ids) values ('a.example', '999', '{3}');

insert into tandem.emergency_route(domain, number, group_ids) values ('a.example', '999', '{3}');
update tandem.sip_domain set name = 'c.example' where name = 'a.example';

update tandem.emergency_route set group_ids = '{2,1}';

delete from tandem.emergency_route;

select world.time_set('North', 'office', 'Europe/London', '{Mo-Fr 08:00-18:00}', '{12-24..01-06}', '{2026-05-01}');

select world.time_set('North', 'office', 'Europe/London', '{Mo-Fr 08:00-18:00}', '{12-24..01-06}', '{2026-05-01}');
update tandem.time_set set name = 'hours', timezone = 'UTC';
update tandem.time_set_span set span = '[0,5)' where span @> 500;
update tandem.time_set_day set kind = 'open' where kind = 'shut';

select world.time_set('North', 'office', 'Europe/London', '{Sa}', '{12-24..01-06}'), world.time_set('North', 'other');
update tandem.time_set_span set time_set_id = world.time_set_id('other');
delete from tandem.time_set_day;
delete from tandem.time_set where name = 'office';

select world.barring('North', 'level', 'blacklist', '{^1900,^44(9|87)}');

select world.time_set('North', 'office'), world.barring('North', 'level', 'blacklist', '{^1900}', 'office'), world.barring('North', 'other', 'whitelist', '{}');
update tandem.barring_level set mode = 'whitelist', spares_internal = true, time_set_id = null where name = 'level';
update tandem.barring_rule set barring_level_id = (select id from tandem.barring_level where name = 'other');

select world.barring('North', 'level', 'blacklist', '{^1900}');
select world.bar('Alpha', 'level'), world.bar('alice@a.example', 'level', 'own');

select world.barring('North', 'level', 'blacklist', '{^1900}'), world.bar('North', 'level', 'own'), world.bar('bob@a.example', 'level');
update tandem.subscriber set barring_id = null;

select world.barring('North', 'level', 'blacklist', '{^1900}'), world.barring('North', 'other', 'blacklist', '{}');
delete from tandem.barring_level where name = 'level';

update tandem.account set blocked_in = '{anonymous}', blocked_out = '{44*}', carriers = 'own_first', loss_pct = 5, attempts_max = 2;

update tandem.account set offline_calls = 3, offline_s = 60;

update tandem.account set offline_calls = 3;
update tandem.fund set credit_limit_micros = 5;

update tandem.subscriber set blocked_in = '{anonymous}', blocked_out = '{44*}', clir = true, region = 'x', lock = 'foreign';

update tandem.sip_domain set region = 'x';

update tandem.emergency_route set region = 'x', routing = '4989110';

select world.rewrite('Tandem', 'plus', 'callee_lnp', '^', '+');

select world.server_named('acme', 'by name', 'sbc.acme.example', 5060);

select world.server_named('acme', 'by name', 'sbc.acme.example', 5060), world.resolved('by name', '192.0.2.9', '2001:db8::9');

select world.server_named('acme', 'by name', 'sbc.acme.example', 5060), world.resolved('by name', '192.0.2.9', '2001:db8::9');
update tandem.peering_server set host = 'other.acme.example' where name = 'by name';

select world.server_named('acme', 'by name', 'sbc.acme.example', 5060), world.resolved('by name', '192.0.2.9', '192.0.2.10');
select world.resolved('by name', '192.0.2.10');
update tandem.peering_server_address set address = '2001:db8::9';
update tandem.peering_group set enabled = false where name = 'acme';

select world.server_named('acme', 'by name', 'sbc.acme.example', 5060), world.resolved('by name', '192.0.2.9');
update tandem.peering_server set group_id = 2 where name = 'by name';
update tandem.peering_group set enabled = false, disabled_at = now() - interval '31 days' where name = 'blue';
update tandem.emergency_route set group_ids = '{1}';
delete from tandem.peering_group where name = 'blue';

update tandem.peering_server set probe = true, channels_max = 1, cps_max = 1, ring_max_s = 1, pdd_max_ms = 1, redirects = true, ported = 'rn';

update tandem.peering_server set is_trusted = false, identity_shown = 'own', identity_headers = '{}', identity_host = 'x', socket = 'udp:[::1]:5060';

select world.peer_option('acme/acme', 'login', 'u:r:p'), world.peer_option('acme/acme', 'login_register_s', '60');

update tandem.peering_server set probe = true;
update tandem.peering_group set enabled = false;

select world.hunt('acme/acme', 480, 'stop', 486, 'Busy Here');

select world.hunt('acme/acme', 480, 'stop', 486, 'Busy Here'), world.hunt('blue/blue', 480, 'continue');
update tandem.hunt_rule set status = 404, told_status = null, told_phrase = null where server_id = 1;
delete from tandem.hunt_rule where server_id = 2;

update tandem.peering_group set share = 5, may_return = true;

select world.time_set('Tandem', 'office'), world.rule('acme', '44', block => true, time_set => 'office', valid_from => '2026-01-01', valid_to => '2027-01-01');

select world.ported('4420', '4499'), world.ported('442071234567', '449901', 'acme');

select world.ported('4420', '4499'), world.ported('442071234567', '449901', 'acme');
update tandem.ported_number set digits = '44207123', group_id = null where digits = '442071234567';
delete from tandem.ported_number where digits = '4420';

select world.destination('4', 60), world.destination('4420', 90);

select world.destination('4', 60), world.destination('4420', 90);
update tandem.destination set prefix = '5' where prefix = '4';
delete from tandem.destination where prefix = '4420';

select world.quality('acme/acme', 50, 60, 2000);

select world.quality('acme/acme', 50, 60, 2000), world.quality('blue/blue', 50, 60, 2000);
select world.quality('acme/acme', 90, 60, 2000);
delete from tandem.peering_server where name = 'blue';

select world.edit_rates('North', 'retail', '4420', '0.5', '49', 'none');

select world.edit_rates('North', 'retail', '4420', '0.5'), world.tariff('North', 'retail', 'EUR', '44', '0.02');
select tandem.retire_rate_sets_v1('0 s');

select world.edit_rates('North', 'retail', '4420', '0.5'), world.tariff('North', 'retail', 'EUR', '44', '0.02');
select tandem.retire_rate_sets_v1('0 s'), tandem.retire_rate_sets_v1('0 s');
update tandem.tariff set rate_set_id = (select max(id) from tandem.rate_set where retired) where id = world.tariff_id('North', 'retail');

select world.user('Eva', 'Alpha', 'alice@a.example'), world.user_option('Eva', 'calls_max', '2');

select world.user('Eva', 'Alpha', 'alice@a.example', 'anna@a.example'), world.user('Adam', 'Alpha');
select world.user_option('Eva', 'name', 'Ada'), world.subscriber_option('alice@a.example', 'user', 'Adam');

select world.user('Eva', 'Alpha', 'alice@a.example'), world.forward('user:Eva', 'busy', 'anna@a.example'), world.forward('anna@a.example', 'busy', 'number:4420');
delete from tandem.user where name = 'Eva';

select world.user('Eva', 'Alpha', 'alice@a.example'), world.extension('201', 'Alpha', 'anna@a.example'), world.forward('user:Eva', 'busy', 'anna@a.example'),
  world.ring_group('Sales', 'Alpha', 'serial', '{anna@a.example,user:Eva}'), world.callflow('Main', 'Alpha', 'ring anna@a.example'),
  world.ring_group('More', 'Alpha', 'serial', '{}', overflow => 'anna@a.example'), world.forward('alice@a.example', 'busy', 'anna@a.example');
update tandem.subscriber set username = 'berta' where username = 'anna';

select world.user('Eva', 'Alpha', 'alice@a.example'), world.extension('201', 'Alpha', 'anna@a.example'), world.forward('user:Eva', 'busy', 'anna@a.example'),
  world.ring_group('Sales', 'Alpha', 'serial', '{anna@a.example,user:Eva}'), world.callflow('Main', 'Alpha', 'ring anna@a.example'),
  world.ring_group('More', 'Alpha', 'serial', '{}', overflow => 'anna@a.example'), world.forward('alice@a.example', 'busy', 'anna@a.example');
update tandem.sip_domain set name = 'c.example' where name = 'a.example';

select world.extension('201', 'Alpha', 'anna@a.example'), world.extension('202', 'Alpha', 'number:4420'), world.extension('*9', 'Alpha', 'number:4420');
select world.subscriber_option('alice@a.example', 'kind', 'pilot');

select world.subscriber_option('alice@a.example', 'kind', 'pilot'), world.extension('201', 'Alpha', 'anna@a.example');
update tandem.extension set dialled = '202' where dialled = '201';

select world.subscriber_option('alice@a.example', 'kind', 'pilot'), world.extension('201', 'Alpha', 'anna@a.example');
select world.subscriber_option('alice@a.example', 'lock', 'all');

select world.subscriber_option('alice@a.example', 'kind', 'pilot'), world.extension('201', 'Alpha', 'anna@a.example'), world.extension('01', 'Alpha', 'alice@a.example');
select world.subscriber('next@a.example', 'Alpha'), world.subscriber_option('next@a.example', 'kind', 'pilot'), world.number('4420794600012', 'Alpha', 'next@a.example');
delete from tandem.number where e164 = '4420794600012';

select world.subscriber_option('alice@a.example', 'kind', 'pilot'), world.extension('201', 'Alpha', 'anna@a.example');
select world.number('442079460001201', 'Alpha', 'alice@a.example');
update tandem.number set e164 = '4420794602' where e164 = '442079460001';

select world.subscriber_option('alice@a.example', 'kind', 'pilot'), world.extension('201', 'Alpha', 'anna@a.example');
update tandem.sip_domain set name = 'c.example' where name = 'a.example';
update tandem.extension set subscriber_id = world.subscriber_id('alice@c.example') where dialled = '201';

select world.user('Eva', 'Alpha', 'alice@a.example'), world.ring_group('Sales', 'Alpha', 'serial', '{anna@a.example,user:Eva}');
update tandem.ring_group set skip_busy = true;

select world.user('Eva', 'Alpha', 'alice@a.example'), world.ring_group('Sales', 'Alpha', 'serial', '{anna@a.example,user:Eva}', skip_busy => true);
delete from tandem.ring_group;

select world.user('Eva', 'Alpha', 'alice@a.example'), world.ring_group('Sales', 'Alpha', 'serial', '{anna@a.example,user:Eva}', skip_busy => true);
delete from tandem.ring_group_member where user_id is not null;

select world.subscriber_option('alice@a.example', 'calls_in_max', '2'), world.subscriber_option('anna@a.example', 'calls_max', '2');
select world.subscriber_option('anna@a.example', 'calls_max', '0');

select world.user('Eva', 'Alpha'), world.extension('eva', 'Alpha', 'alice@a.example');
delete from tandem.extension;

select world.media_server('Tandem', 'ivr', '127.0.5.1'), world.callflow('Main', 'Alpha', 'media ivr/main');
update tandem.media_server set port = 5070;

select world.callflow('Main', 'Alpha', 'ring alice@a.example', 'reject 480');
update tandem.callflow set name = 'Mean';
delete from tandem.callflow_step where position = 2;

select world.place('alice@a.example', '127.0.6.1'), world.place('anna@a.example', '127.0.6.1');
update tandem.trunk_place set subscriber_id = world.subscriber_id('anna@a.example'), port = 5070 where subscriber_id = world.subscriber_id('alice@a.example');

select world.forward('alice@a.example', 'busy', 'anna@a.example'), world.forward('anna@a.example', 'no_answer', 'number:4420');
update tandem.forward set subscriber_id = world.subscriber_id('anna@a.example'), to_subscriber_id = null, to_e164 = '49' || '30123' where kind = 'busy';

select world.account_option('Alpha', 'media', 'relay'), world.domain_option('a.example', 'digest', 'sha256');
