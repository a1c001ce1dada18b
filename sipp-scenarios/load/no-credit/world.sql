select world.tariff('Tandem', 'l06', 'EUR', '88506', '0.009 60/60');
select world.reseller('l06-reseller', 'Tandem', 'l06', 1000000);
select world.tariff('l06-reseller', 'retail', 'EUR', '88506', '0.012 60/60');
select world.customer('l06-customer', 'l06-reseller', 'retail', 0);
select world.domain('l06.example', 'l06-customer');
select world.subscriber('u' || n || '@l06.example', 'l06-customer', 'demo-secret', '885061' || to_char(n, 'fm000000'))
  from generate_series(1, 50) n;
select world.carrier_of('l06-reseller', 'l06-carrier', '127.4.6.1', 5080, '88506', '0.004 60/60');
