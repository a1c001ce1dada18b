select world.tariff('Tandem', 's15', 'EUR', '88815', '0.009 60/60');
select world.reseller('s15-reseller', 'Tandem', 's15', 50);
select world.tariff('s15-reseller', 'retail', 'EUR', '88815', '0.012 60/60');
select world.customer('s15-customer', 's15-reseller', 'retail', 10);
select world.domain('s15.example', 's15-customer');
select world.subscriber('alice@s15.example', 's15-customer', 'demo-secret', '888151000001');
select world.carrier_of('s15-reseller', 's15-cheap', '127.1.15.1', 5080, '88815', '0.004 60/60');
