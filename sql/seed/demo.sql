-- The demo world: README, `make demo` and the tests call in it. Needs world.sql. Loads once; a second time is refused.
--
--   Tandem (root)                    carriers: acme 127.0.1.1, blue 127.0.1.2, crown 127.0.1.3, all port 5080
--   ├── North          reseller      domain a.example
--   │   ├── Alpha      customer      alice@a.example, anna@a.example
--   │   └── Fjord      reseller      (North's dealer)
--   │       └── Beta   customer      bob@a.example, pbx@a.example (127.0.2.1 over UDP), desk@a.example (127.0.2.2, From sip:desk@)
--   └── South          reseller      domain b.example
--       ├── Gamma      customer      carol@b.example; postpaid
--       └── Delta      customer      dave@b.example; no money, no credit
--
-- Passwords: <user>-secret, e.g. alice-secret. Only their hashes are stored.
-- Cheapest carrier: 4420 acme, other 44 blue, 447 blue, 49 crown, 33 blue, 1 crown. 1900 is forbidden by every retail tariff.

do $$
begin
  if exists (select from tandem.account) then
    raise exception 'the demo world is for an empty database, and this one has accounts already';
  end if;
  perform set_config('tandem.actor', 'seed', true);
end $$;

select world.root('Tandem', 'EUR');

-- Prices per minute rise from the carriers up to the customers, so that every level earns.
select world.carrier('acme', '127.0.1.1', 5080,
  '44', '0.0040', '4420', '0.0030', '447', '0.0200', '49', '0.0060', '33', '0.0070', '1', '0.0050', '1900', '0.5000');
select world.carrier('blue', '127.0.1.2', 5080,
  '44', '0.0035', '4420', '0.0045', '447', '0.0150', '49', '0.0080', '33', '0.0050', '1', '0.0060');
select world.carrier('crown', '127.0.1.3', 5080,
  '44', '0.0050 60/60', '447', '0.0180 60/60', '49', '0.0045', '1', '0.0040 6/6');

select world.tariff('Tandem', 'wholesale', 'EUR',
  '44', '0.0100', '4420', '0.0080', '447', '0.0400', '49', '0.0120', '33', '0.0120', '1', '0.0100', '1900', '0.8000');
select world.reseller('North', 'Tandem', 'wholesale', 500);
select world.reseller('South', 'Tandem', 'wholesale', 200);

select world.tariff('North', 'dealer', 'EUR',
  '44', '0.0150', '4420', '0.0120', '447', '0.0550', '49', '0.0180', '33', '0.0180', '1', '0.0150', '1900', '1.0000');
select world.tariff('North', 'retail', 'EUR',
  '44', '0.0250', '4420', '0.0200', '447', '0.0900 30/6', '49', '0.0300', '33', '0.0300', '1', '0.0250', '1900', 'forbidden');
select world.reseller('Fjord', 'North', 'dealer', 100);
select world.customer('Alpha', 'North', 'retail', 20);

select world.tariff('Fjord', 'retail', 'EUR',
  '44', '0.0300', '4420', '0.0240', '447', '0.1000 30/6', '49', '0.0360 60/60', '33', '0.0360', '1', '0.0300 60/60 +0.0100', '1900', 'forbidden');
select world.customer('Beta', 'Fjord', 'retail', 20);

select world.tariff('South', 'retail', 'EUR',
  '44', '0.0280', '4420', '0.0220', '447', '0.0950 30/6', '49', '0.0330', '33', '0.0330', '1', '0.0280', '1900', 'forbidden');
select world.customer('Gamma', 'South', 'retail', 0, 10);
select world.customer('Delta', 'South', 'retail');

-- What resellers may do by themselves (tandem … --as North): North nearly all, its dealer and South sell and look after customers.
select world.grant('North', 'accounts', 'prices', 'money', 'carriers_seen', 'domains', 'numbers', 'routing', 'callflows');
select world.grant('Fjord', 'accounts', 'prices', 'money');
select world.grant('South', 'accounts', 'prices', 'money', 'domains');
select world.grant('Alpha', 'callflows');

-- Users of a.example dial as in the UK, those of b.example as in Germany; both may write +.
select world.rewrite('North', 'as dialled in the UK', 'callee_in', '^00', '');
select world.rewrite('North', 'as dialled in the UK', 'callee_in', '^0([1-9])', '44\1');
select world.rewrite('North', 'as dialled in the UK', 'caller_in', '^0([1-9])', '44\1');
select world.rewrite('South', 'as dialled in Germany', 'callee_in', '^00', '');
select world.rewrite('South', 'as dialled in Germany', 'callee_in', '^0([1-9])', '49\1');
select world.rewrite('South', 'as dialled in Germany', 'caller_in', '^0([1-9])', '49\1');
select world.domain('a.example', 'North', (select id from tandem.rewrite_set where name = 'as dialled in the UK'));
select world.domain('b.example', 'South', (select id from tandem.rewrite_set where name = 'as dialled in Germany'));

select world.subscriber('alice@a.example', 'Alpha', 'alice-secret', '442079460001');
select world.subscriber('anna@a.example', 'Alpha', 'anna-secret', '442079460002');
select world.subscriber('bob@a.example', 'Beta', 'bob-secret', '442079460011');
select world.subscriber('pbx@a.example', 'Beta', null, '442079460012');
select world.subscriber('desk@a.example', 'Beta', null, '442079460013');
select world.subscriber('carol@b.example', 'Gamma', 'carol-secret', '49891234001');
select world.subscriber('dave@b.example', 'Delta', 'dave-secret', '49891234002');
update tandem.subscriber set allowed_clis = '{44207946001*}' where username = 'pbx';
update tandem.subscriber set cli_policy = 'reject' where username = 'anna';

select world.trusted('pbx@a.example', '127.0.2.1', 'udp');
select world.trusted('desk@a.example', '127.0.2.2', 'udp', '^sip:desk@');

select world.did('442079460001', 'alice@a.example');
select world.did('442079460002', 'anna@a.example');
select world.did('442079460011', 'bob@a.example');
select world.did('49891234001', 'carol@b.example');

-- acme wants and sends +E.164, crown wants 00; blue takes plain digits.
select world.rewrite('Tandem', 'plus', 'callee_out', '^', '+');
select world.rewrite('Tandem', 'plus', 'caller_out', '^', '+');
select world.rewrite('Tandem', 'plus', 'callee_in', '^\+', '');
select world.rewrite('Tandem', 'plus', 'caller_in', '^\+', '');
select world.rewrite('Tandem', 'double zero', 'callee_out', '^', '00');
update tandem.peering_group g set rewrite_set_id = s.id from tandem.rewrite_set s where s.name = 'plus' and g.name = 'acme';
update tandem.peering_group g set rewrite_set_id = s.id from tandem.rewrite_set s where s.name = 'double zero' and g.name = 'crown';

-- What carriers may send: acme only with a caller number (its own answer otherwise), blue only to UK numbers (else it is nobody).
select world.inbound('acme', 'from', 'user', '^\+?[1-9][0-9]{5,14}$', 433, 'Caller Number Needed');
select world.inbound('blue', 'ruri', 'user', '^\+?44');

insert into tandem.contact(account_id, email, name)
select id, 'noc@' || lower(name) || '.example', name || ' NOC' from tandem.account where kind <> 'customer';
update tandem.account a set contact_id = c.id from tandem.contact c where c.account_id = a.id;

insert into tandem.emergency_route(number, group_ids)
select number, array[world.carrier_id('acme'), world.carrier_id('blue')] from unnest(array['112', '911']) as number;
