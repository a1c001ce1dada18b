select world.tariff('Tandem', 's77', 'EUR', '88877', '0.009 60/60');
select world.reseller('s77-reseller', 'Tandem', 's77', 50);
select world.tariff('s77-reseller', 'retail', 'EUR', '88877', '0.012 60/60');
select world.customer('s77-customer', 's77-reseller', 'retail', 10);
select world.domain('s77.example', 's77-customer');
select world.subscriber('alice@s77.example', 's77-customer', 'demo-secret', '888771000001');
select world.carrier_of('s77-reseller', 's77-cheap', '127.1.77.1', 5080, '88877', '0.004 60/60');
