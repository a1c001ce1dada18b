select world.tariff('Tandem', 's20', 'EUR', '88820', '0.009 60/60');
select world.reseller('s20-reseller', 'Tandem', 's20', 50);
select world.tariff('s20-reseller', 'retail', 'EUR', '88820', '0.012 60/60');
select world.customer('s20-customer', 's20-reseller', 'retail', 10);
select world.domain('s20.example', 's20-customer');
select world.subscriber('alice@s20.example', 's20-customer', 'demo-secret', '888201000001');
select world.subscriber('bob@s20.example', 's20-customer', 'demo-secret', '888201000002');
select world.did('888201000002', 'bob@s20.example');
select world.carrier_of('s20-reseller', 's20-cheap', '127.1.20.1', 5080, '88820', '0.004 60/60');
