select world.tariff('Tandem', 's79', 'EUR', '88879', '0.009 60/60');
select world.reseller('s79-reseller', 'Tandem', 's79', 50);
select world.tariff('s79-reseller', 'retail', 'EUR', '88879', '0.012 60/60');
select world.customer('s79-customer', 's79-reseller', 'retail', 10);
select world.domain('s79.example', 's79-customer');
select world.subscriber('alice@s79.example', 's79-customer', 'demo-secret', '888791000001');
select world.carrier_of('s79-reseller', 's79-cheap', '127.1.79.1', 5080, '88879', '0.004 60/60');
select world.barring('s79-reseller', 's79-no-premium', 'blacklist', array['^888799', '^888790']);
select world.bar('s79-customer', 's79-no-premium');
