select world.tariff('Tandem', 's22', 'EUR', '88822', '0.009 60/60');
select world.reseller('s22-reseller', 'Tandem', 's22', 50);
select world.tariff('s22-reseller', 'retail', 'EUR', '88822', '0.012 60/60');
select world.customer('s22-customer', 's22-reseller', 'retail', 10);
select world.domain('s22.example', 's22-customer');
select world.subscriber('alice@s22.example', 's22-customer', 'demo-secret', '888221000001');
select world.carrier_of('s22-reseller', 's22-cheap', '127.1.22.1', 5080, '88822', '0.004 60/60');
