select world.tariff('Tandem', 'l01', 'EUR', '88501', '0.009 60/60');
select world.reseller('l01-reseller', 'Tandem', 'l01', 1000000);
select world.tariff('l01-reseller', 'retail', 'EUR', '88501', '0.012 60/60');
select world.customer('l01-customer', 'l01-reseller', 'retail', 1000000);
select world.domain('l01.example', 'l01-customer');
select world.subscriber('u' || n || '@l01.example', 'l01-customer', 'demo-secret', '885011' || to_char(n, 'fm000000'))
  from generate_series(1, 50) n;
select world.carrier_of('l01-reseller', 'l01-carrier', '127.4.1.1', 5080, '88501', '0.004 60/60');
