select world.tariff('Tandem', 's121', 'EUR', '88921', '0.009 60/60');
select world.reseller('s121-reseller', 'Tandem', 's121', 50);
select world.tariff('s121-reseller', 'retail', 'EUR', '88921', '0.012 60/60');
select world.customer('s121-customer', 's121-reseller', 'retail', 10);
select world.domain('s121.example', 's121-customer');
select world.subscriber('alice@s121.example', 's121-customer', 'demo-secret', '889211000001');
select world.carrier_of('s121-reseller', 's121-cheap', '127.1.121.1', 5080, '88921', '0.004 60/60');
