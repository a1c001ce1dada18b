select world.tariff('Tandem', 'l04', 'EUR', '88504', '0.009 60/60');
select world.reseller('l04-reseller', 'Tandem', 'l04', 1000000);
select world.tariff('l04-reseller', 'retail', 'EUR', '88504', '0.012 60/60');
select world.customer('l04-customer', 'l04-reseller', 'retail', 1000000);
select world.domain('l04.example', 'l04-customer');
select world.subscriber('u' || n || '@l04.example', 'l04-customer', 'demo-secret', '885041' || to_char(n, 'fm000000'))
  from generate_series(1, 50) n;
select world.did('885041' || to_char(n, 'fm000000'), 'u' || n || '@l04.example') from generate_series(1, 50) n;
select world.carrier_of('l04-reseller', 'l04-peer', '127.4.4.1', 5080, '88504', '0.004 60/60');
