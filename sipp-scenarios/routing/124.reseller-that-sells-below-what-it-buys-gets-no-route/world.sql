select world.tariff('Tandem', 's124', 'EUR', '88924', '0.012 60/60');
select world.reseller('s124-reseller', 'Tandem', 's124', 50);
select world.tariff('s124-reseller', 'retail', 'EUR', '88924', '0.009 60/60');
select world.customer('s124-customer', 's124-reseller', 'retail', 10);
select world.domain('s124.example', 's124-customer');
select world.subscriber('alice@s124.example', 's124-customer', 'demo-secret', '889241000001');
select world.carrier_of('Tandem', 's124-root', '127.1.124.1', 5080, '88924', '0.002 60/60');
select world.no_rules('s124-root');
select world.rule('s124-root', '88924');
