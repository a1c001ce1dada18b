select world.tariff('Tandem', 's108', 'EUR', '88908', '0.009 60/60');
select world.reseller('s108-reseller', 'Tandem', 's108', 50);
select world.tariff('s108-reseller', 'retail', 'EUR', '88908', '0.012 60/60');
select world.customer('s108-customer', 's108-reseller', 'retail', 10);
select world.domain('s108.example', 's108-customer');
select world.subscriber('alice@s108.example', 's108-customer', 'demo-secret', '889081000001');
select world.carrier_of('s108-reseller', 's108-cheap', '127.1.108.1', 5080, '88908', '0.004 60/60');
select world.carrier_of('s108-reseller', 's108-dear', '127.1.108.2', 5080, '88908', '0.006 60/60');
