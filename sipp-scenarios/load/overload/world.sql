select world.tariff('Tandem', 'l11', 'EUR', '88511', '0.009 60/60');
select world.reseller('l11-reseller', 'Tandem', 'l11', 1000000);
select world.tariff('l11-reseller', 'retail', 'EUR', '88511', '0.012 60/60');
select world.customer('l11-customer', 'l11-reseller', 'retail', 1000000);
select world.domain('l11.example', 'l11-customer');
select world.subscriber('u' || n || '@l11.example', 'l11-customer', 'demo-secret', '885111' || to_char(n, 'fm000000'))
  from generate_series(1, 50) n;
select world.carrier_of('l11-reseller', 'l11-carrier', '127.4.11.1', 5080, '88511', '0.004 60/60');
select world.emergency('112', '{l11-carrier}', domain => 'l11.example');
