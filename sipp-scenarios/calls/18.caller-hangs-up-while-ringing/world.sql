select world.tariff('Tandem', 's18', 'EUR', '88818', '0.009 60/60');
select world.reseller('s18-reseller', 'Tandem', 's18', 50);
select world.tariff('s18-reseller', 'retail', 'EUR', '88818', '0.012 60/60');
select world.customer('s18-customer', 's18-reseller', 'retail', 10);
select world.domain('s18.example', 's18-customer');
select world.subscriber('alice@s18.example', 's18-customer', 'demo-secret', '888181000001');
select world.carrier_of('s18-reseller', 's18-cheap', '127.1.18.1', 5080, '88818', '0.004 60/60');
