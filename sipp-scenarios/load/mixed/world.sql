select world.tariff('Tandem', 'l10', 'EUR', '88510', '0.009 60/60');
select world.reseller('l10-reseller', 'Tandem', 'l10', 1000000);
select world.tariff('l10-reseller', 'retail', 'EUR', '88510', '0.012 60/60');
select world.customer('l10-customer', 'l10-reseller', 'retail', 1000000);
select world.domain('l10.example', 'l10-customer');
select world.subscriber('u' || n || '@l10.example', 'l10-customer', 'demo-secret', '885101' || to_char(n, 'fm000000'))
  from generate_series(1, 50) n;
select world.subscriber('r' || n || '@l10.example', 'l10-customer', 'demo-secret', '885101' || to_char(100 + n, 'fm000000'))
  from generate_series(1, 50) n;  -- whom nobody calls: they register from where nobody answers
select world.did('885101' || to_char(n, 'fm000000'), 'u' || n || '@l10.example') from generate_series(1, 50) n;
select world.subscriber('pbx@l10.example', 'l10-customer', null, '885101900001');
select world.trusted('pbx@l10.example', '127.4.10.10/32', 'udp');
select world.customer('l10-poor', 'l10-reseller', 'retail', 0);
select world.domain('poor.l10.example', 'l10-poor');
select world.subscriber('pbx@poor.l10.example', 'l10-poor', null, '885101900002');
select world.trusted('pbx@poor.l10.example', '127.4.10.11/32', 'udp');
select world.carrier_of('l10-reseller', 'l10-carrier', '127.4.10.1', 5080, '885100', '0.004 60/60', '885103', '0.004 60/60');
select world.carrier_of('l10-reseller', 'l10-busy', '127.4.10.2', 5080, '885102', '0.004 60/60');
select world.carrier_of('l10-reseller', 'l10-sick', '127.4.10.3', 5080, '885103', '0.002 60/60');
select world.carrier_of('l10-reseller', 'l10-ringing', '127.4.10.4', 5080, '885104', '0.004 60/60');
