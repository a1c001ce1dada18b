select world.tariff('Tandem', 's64', 'EUR', '88864', '0.009 60/60');
select world.reseller('s64-reseller', 'Tandem', 's64', 50);
select world.tariff('s64-reseller', 'retail', 'EUR', '88864', '0.012 60/60');
select world.customer('s64-customer', 's64-reseller', 'retail', 10);
select world.domain('s64.example', 's64-customer');
select world.subscriber('alice@s64.example', 's64-customer', 'demo-secret', '888641000001');
select world.carrier_of('s64-reseller', 's64-cheap', '127.1.64.1', 5080, '88864', '0.004 60/60');
