select world.tariff('Tandem', 's25', 'EUR', '88825', '0.009 60/60');
select world.reseller('s25-reseller', 'Tandem', 's25', 50);
select world.tariff('s25-reseller', 'retail', 'EUR', '88825', '0.012 60/60');
select world.customer('s25-customer', 's25-reseller', 'retail', 10);
select world.domain('s25.example', 's25-customer');
select world.subscriber('alice@s25.example', 's25-customer', 'demo-secret', '888251000001');
select world.carrier_of('s25-reseller', 's25-peer', '127.1.25.1', 5080, '88825', '0.004 60/60');
select world.did('888251000001', 'alice@s25.example');
