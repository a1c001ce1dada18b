select world.tariff('Tandem', 's49', 'EUR', '88849', '0.009 60/60');
select world.reseller('s49-reseller', 'Tandem', 's49', 50);
select world.tariff('s49-reseller', 'retail', 'EUR', '88849', '0.012 60/60');
select world.customer('s49-customer', 's49-reseller', 'retail', 10);
select world.domain('s49.example', 's49-customer');
select world.subscriber('alice@s49.example', 's49-customer', 'demo-secret', '888491000001');
select world.carrier_of('s49-reseller', 's49-cheap', '127.1.49.1', 5080, '88849', '0.004 60/60');
select world.lock('s49-reseller', 'foreign');
