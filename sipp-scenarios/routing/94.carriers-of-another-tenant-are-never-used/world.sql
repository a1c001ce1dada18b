select world.tariff('Tandem', 's94', 'EUR', '88894', '0.009 60/60');
select world.reseller('s94-reseller', 'Tandem', 's94', 50);
select world.tariff('s94-reseller', 'retail', 'EUR', '88894', '0.012 60/60');
select world.customer('s94-customer', 's94-reseller', 'retail', 10);
select world.domain('s94.example', 's94-customer');
select world.subscriber('alice@s94.example', 's94-customer', 'demo-secret', '888941000001');
select world.carrier_of('s94-reseller', 's94-own', '127.1.94.1', 5080, '88894', '0.004 60/60');
select world.reseller('s94-stranger', 'Tandem', 's94', 50);
select world.carrier_of('s94-stranger', 's94-foreign', '127.1.94.2', 5080, '88894', '0.001 60/60');
