select world.tariff('Tandem', 's73', 'EUR', '88873', '0.009 60/60');
select world.reseller('s73-reseller', 'Tandem', 's73', 50);
select world.tariff('s73-reseller', 'retail', 'EUR', '88873', '0.012 60/60');
select world.customer('s73-customer', 's73-reseller', 'retail', 10);
select world.domain('s73.example', 's73-customer');
select world.subscriber('alice@s73.example', 's73-customer', 'demo-secret', '888731000001');
select world.carrier_of('s73-reseller', 's73-peer', '127.1.73.1', 5080, '88873', '0.004 60/60');
select world.did('888730000001', 'alice@s73.example');
select world.inbound('s73-peer', 'pai', 'user', '^[+]?[1-9][0-9]{6,14}', 428, 'Use Identity Header');
