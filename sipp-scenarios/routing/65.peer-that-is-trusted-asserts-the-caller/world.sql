select world.tariff('Tandem', 's65', 'EUR', '88865', '0.009 60/60');
select world.reseller('s65-reseller', 'Tandem', 's65', 50);
select world.tariff('s65-reseller', 'retail', 'EUR', '88865', '0.012 60/60');
select world.customer('s65-customer', 's65-reseller', 'retail', 10);
select world.domain('s65.example', 's65-customer');
select world.subscriber('alice@s65.example', 's65-customer', 'demo-secret', '888651000001');
select world.carrier_of('s65-reseller', 's65-peer', '127.1.65.1', 5080, '88865', '0.004 60/60');
select world.did('888650000001', 'alice@s65.example');
