select world.tariff('Tandem', 's95', 'EUR', '88895', '0.009 60/60');
select world.reseller('s95-reseller', 'Tandem', 's95', 50);
select world.tariff('s95-reseller', 'retail', 'EUR', '88895', '0.012 60/60');
select world.customer('s95-customer', 's95-reseller', 'retail', 10);
select world.domain('s95.example', 's95-customer');
select world.subscriber('alice@s95.example', 's95-customer', 'demo-secret', '888951000001');
select world.carrier_of('s95-reseller', 's95-cheap', '127.1.95.1', 5080, '88895', '0.004 60/60');
select world.inbound('s95-cheap', 'from', 'domain', '^carrier\.example', null, null);
select world.carrier_of('s95-reseller', 's95-dear', '127.1.95.2', 5080, '88895', '0.006 60/60');
