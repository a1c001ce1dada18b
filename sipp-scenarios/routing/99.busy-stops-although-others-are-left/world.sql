select world.tariff('Tandem', 's99', 'EUR', '88899', '0.009 60/60');
select world.reseller('s99-reseller', 'Tandem', 's99', 50);
select world.tariff('s99-reseller', 'retail', 'EUR', '88899', '0.012 60/60');
select world.customer('s99-customer', 's99-reseller', 'retail', 10);
select world.domain('s99.example', 's99-customer');
select world.subscriber('alice@s99.example', 's99-customer', 'demo-secret', '888991000001');
select world.carrier_of('s99-reseller', 's99-cheap', '127.1.99.1', 5080, '88899', '0.004 60/60');
select world.carrier_of('s99-reseller', 's99-dear', '127.1.99.2', 5080, '88899', '0.006 60/60');
