select world.tariff('Tandem', 's09', 'EUR', '88809', '0.009 60/60');
select world.reseller('s09-reseller', 'Tandem', 's09', 50);
select world.tariff('s09-reseller', 'retail', 'EUR', '88809', '0.012 60/60');
select world.customer('s09-customer', 's09-reseller', 'retail', 10);
select world.domain('s09.example', 's09-customer');
select world.subscriber('alice@s09.example', 's09-customer', 'demo-secret', '888091000001');
select world.carrier_of('s09-reseller', 's09-cheap', '127.1.9.1', 5080, '88809', '0.004 60/60');
select world.carrier_of('s09-reseller', 's09-dear', '127.1.9.2', 5080, '88809', '0.006 60/60');
