select world.tariff('Tandem', 's07', 'EUR', '88807', '0.009 60/60');
select world.reseller('s07-reseller', 'Tandem', 's07', 50);
select world.tariff('s07-reseller', 'retail', 'EUR', '88807', '0.012 60/60');
select world.customer('s07-customer', 's07-reseller', 'retail', 10);
select world.domain('s07.example', 's07-customer');
select world.subscriber('alice@s07.example', 's07-customer', 'demo-secret', '888071000001');
select world.carrier_of('s07-reseller', 's07-peer', '127.1.7.1', 5080, '88807', '0.004 60/60');
select world.did('888071000001', 'alice@s07.example');
