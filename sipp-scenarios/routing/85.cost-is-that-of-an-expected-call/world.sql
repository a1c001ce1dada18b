select world.tariff('Tandem', 's85', 'EUR', '88885', '0.009 60/60');
select world.reseller('s85-reseller', 'Tandem', 's85', 50);
select world.tariff('s85-reseller', 'retail', 'EUR', '88885', '0.012 60/60');
select world.customer('s85-customer', 's85-reseller', 'retail', 10);
select world.domain('s85.example', 's85-customer');
select world.subscriber('alice@s85.example', 's85-customer', 'demo-secret', '888851000001');
select world.carrier_of('s85-reseller', 's85-cheap', '127.1.85.1', 5080, '88885', '0.004 60/60');
select world.carrier_of('s85-reseller', 's85-fee', '127.1.85.2', 5080, '88885', '0.001 60/60 +0.02');
select world.destination('88885', 240);
