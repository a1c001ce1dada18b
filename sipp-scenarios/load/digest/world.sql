select world.tariff('Tandem', 'l02', 'EUR', '88502', '0.009 60/60');
select world.reseller('l02-reseller', 'Tandem', 'l02', 1000000);
select world.tariff('l02-reseller', 'retail', 'EUR', '88502', '0.012 60/60');
select world.customer('l02-customer', 'l02-reseller', 'retail', 1000000);
select world.domain('l02.example', 'l02-customer');
select world.subscriber('u' || n || '@l02.example', 'l02-customer', 'demo-secret', '885021' || to_char(n, 'fm000000'))
  from generate_series(1, 50) n;
select world.carrier_of('l02-reseller', 'l02-carrier', '127.4.2.1', 5080, '88502', '0.004 60/60');
