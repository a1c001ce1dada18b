select world.tariff('Tandem', 'l07', 'EUR', '88507', '0.009 60/60');
select world.reseller('l07-reseller', 'Tandem', 'l07', 1000000);
select world.tariff('l07-reseller', 'retail', 'EUR', '88507', '0.012 60/60');
select world.customer('l07-customer', 'l07-reseller', 'retail', 1000000);
select world.domain('l07.example', 'l07-customer');
select world.subscriber('u' || n || '@l07.example', 'l07-customer', 'demo-secret', '885071' || to_char(n, 'fm000000'))
  from generate_series(1, 50) n;
select world.carrier_of('l07-reseller', 'l07-carrier', '127.4.7.1', 5080, '88507', '0.004 60/60');
