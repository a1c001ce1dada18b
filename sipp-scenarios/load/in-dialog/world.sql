select world.tariff('Tandem', 'l09', 'EUR', '88509', '0.009 60/60');
select world.reseller('l09-reseller', 'Tandem', 'l09', 1000000);
select world.tariff('l09-reseller', 'retail', 'EUR', '88509', '0.012 60/60');
select world.customer('l09-customer', 'l09-reseller', 'retail', 1000000);
select world.domain('l09.example', 'l09-customer');
select world.subscriber('u' || n || '@l09.example', 'l09-customer', 'demo-secret', '885091' || to_char(n, 'fm000000'))
  from generate_series(1, 50) n;
select world.carrier_of('l09-reseller', 'l09-carrier', '127.4.9.1', 5080, '88509', '0.004 60/60');
