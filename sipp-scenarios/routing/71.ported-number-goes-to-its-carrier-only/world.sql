select world.tariff('Tandem', 's71', 'EUR', '88871', '0.009 60/60');
select world.reseller('s71-reseller', 'Tandem', 's71', 50);
select world.tariff('s71-reseller', 'retail', 'EUR', '88871', '0.012 60/60');
select world.customer('s71-customer', 's71-reseller', 'retail', 10);
select world.domain('s71.example', 's71-customer');
select world.subscriber('alice@s71.example', 's71-customer', 'demo-secret', '888711000001');
select world.carrier_of('Tandem', 's71-cheap', '127.1.71.1', 5080, '88871', '0.004 60/60');
select world.carrier_of('Tandem', 's71-dear', '127.1.71.2', 5080, '88871', '0.006 60/60');
select world.ported('888710000001', '888715000001', 's71-dear');
