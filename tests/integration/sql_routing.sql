-- Everything of routing that the demo world does not use: after this no column of a sync view is empty in all rows.
select world.time_set('Tandem', 'office', 'Europe/London', '{Mo-Fr 08:00-18:00,Sat}', '{12-24..01-06,2026-05-01}', '{2026-12-28..2026-12-30}');
select world.barring('North', 'no premium', 'blacklist', '{^44(9|87),^1900}', 'office', true), world.barring('North', 'UK', 'whitelist', '{^44}');
select world.bar('Alpha', 'no premium'), world.bar('Alpha', 'UK', 'own'), world.bar('alice@a.example', 'UK'), world.bar('bob@a.example', 'no premium', 'own');
select world.account_option('Alpha', key, value) from (values ('blocked_in', 'anonymous,4420*'), ('blocked_out', '{44[89]*}'),
  ('carriers', 'own_only'), ('loss_pct', '-1'), ('attempts_max', '3'), ('routing', 'quality,share')) as o(key, value);
select world.subscriber_option('bob@a.example', key, value) from (values ('blocked_in', '49?9*'), ('blocked_out', '1*'),
  ('clir', 'true'), ('region', 'london'), ('lock', 'all')) as o(key, value);
select world.domain_option('b.example', 'region', 'bavaria');
select world.emergency('110', '{blue,acme}', region => 'bavaria', routing => '4989110');
select world.rewrite('Tandem', 'plus', 'callee_lnp', '^', '+'), world.rewrite('Tandem', 'plus', 'caller_lnp', '^', '00');
select world.server_named('blue', 'by name', 'sbc.blue.example', 5070), world.resolved('by name', '192.0.2.9', '192.0.2.10');
select world.server_named('blue', 'unknown', 'sbc2.blue.example', 5070);
select world.peer_option('by name', key, value) from (values ('transport', 'tcp'), ('socket', 'tcp:[2001:db8::1]:5060'), ('probe', 'true'),
  ('channels_max', '30'), ('cps_max', '5'), ('ring_max_s', '40'), ('pdd_max_ms', '6000'), ('redirects', 'true'), ('ported', 'rn'),
  ('is_trusted', 'false'), ('identity_shown', 'own'), ('identity_headers', 'ppi,rpid'), ('identity_host', 'sip.us.example'),
  ('login', 'trunk7:blue.example:secret'), ('login_register_s', '600')) as o(key, value);
select world.hunt('by name', 480, 'stop', 486, 'Busy Here'), world.hunt('by name', 404, 'continue');
select world.carrier_option('blue', 'share', '60'), world.carrier_option('blue', 'may_return', 'true');
select world.rule('blue', '442', block => true, time_set => 'office', valid_from => '2026-01-01 00:00Z', valid_to => '2027-01-01 00:00Z');
select world.ported('442071234567', '449901', 'acme'), world.ported('4420', '4499');
select world.destination('4', 180), world.destination('4420', 95), world.destination('49', 60);
select world.quality('acme/acme', 52, 118, 2700), world.quality('crown/crown', 50, 60, 500, 19), world.quality('by name', 0, 0, 0);
-- People, below an account with lines of its own.
select world.user('Eva', 'Alpha', 'alice@a.example'), world.user_option('Eva', 'ring_s', '25'), world.user_option('Eva', 'calls_max', '2'),
  world.user_option('Eva', 'dnd', 'true'), world.user_option('Eva', 'status', 'suspended');
select world.media_server('Tandem', 'ivr', '127.0.5.1', 5070, 'tcp');
select world.ring_group('Sales', 'Alpha', 'circular', '{anna@a.example 15,user:Eva}', 10, 60, true, 'media:ivr/sales');
select world.callflow('Night', 'Alpha', 'media ivr/night');
select world.callflow('Main', 'Alpha', 'time office else 4', 'caller 4420*,anonymous else 3', 'ring user:Eva 20', 'flow Night'),
  world.callflow('Closed', 'Alpha', 'ring anna@a.example', 'reject 480 Nobody here');
select world.extension('200', 'Alpha', 'user:Eva'), world.extension('201', 'Alpha', 'anna@a.example'), world.extension('*98', 'Alpha', 'media:ivr/box1');
select world.number('442079461000', 'Alpha', 'callflow:Main'), world.number('442079461001', 'Alpha', 'media:ivr/box2');
select world.forward('anna@a.example', 'busy', 'user:Eva', time_set => 'office', callers => '{44*}'), world.forward('anna@a.example', 'always', 'media:ivr/box1'),
  world.forward('user:Eva', 'timeout', 'number:442071234567', 15, 'office'), world.forward('user:Eva', 'busy', 'media:ivr/box1');
select world.subscriber('pbx1@a.example', 'Alpha'), world.place('pbx1@a.example', '127.0.6.1', 5080, 1, 3, 'tcp');
select world.subscriber_option('pbx1@a.example', key, value) from (values ('kind', 'ip_trunk'), ('did_in', 'to'), ('dnd', 'true'), ('ring_s', '30'),
  ('calls_max', '9'), ('calls_in_max', '8'), ('calls_out_max', '7'), ('contacts_max', '3'), ('expires_max_s', '3600'), ('expires_min_s', '60'),
  ('register_from', '10.0.0.0/8,2001:db8::/32'), ('digest', 'sha256')) as o(key, value);
select world.subscriber('head@a.example', 'Alpha'), world.subscriber_option('head@a.example', 'kind', 'pilot'), world.number('4420794620', 'Alpha', 'head@a.example');
select world.domain_option('b.example', 'digest', 'md5'), world.account_option('Alpha', 'media', 'relay');
