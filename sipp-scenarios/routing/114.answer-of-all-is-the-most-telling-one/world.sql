select world.tariff('Tandem', 's114', 'EUR', '88914', '0.009 60/60');
select world.reseller('s114-reseller', 'Tandem', 's114', 50);
select world.tariff('s114-reseller', 'retail', 'EUR', '88914', '0.012 60/60');
select world.customer('s114-customer', 's114-reseller', 'retail', 10);
select world.domain('s114.example', 's114-customer');
select world.subscriber('alice@s114.example', 's114-customer', 'demo-secret', '889141000001');
select world.carrier_of('s114-reseller', 's114-cheap', '127.1.114.1', 5080, '88914', '0.004 60/60');
select world.carrier_of('s114-reseller', 's114-dear', '127.1.114.2', 5080, '88914', '0.006 60/60');
