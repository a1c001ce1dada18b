select world.tariff('Tandem', 's24', 'EUR', '88824', '0.009 60/60');
select world.reseller('s24-reseller', 'Tandem', 's24', 50);
select world.tariff('s24-reseller', 'retail', 'EUR', '88824', '0.012 60/60');
select world.customer('s24-customer', 's24-reseller', 'retail', 10);
select world.domain('s24.example', 's24-customer');
select world.subscriber('alice@s24.example', 's24-customer', 'demo-secret', '888241000001');
select world.carrier_of('s24-reseller', 's24-cheap', '127.1.24.1', 5080, '88824', '0.004 60/60');
