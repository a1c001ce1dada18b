select world.tariff('Tandem', 's97', 'EUR', '88897', '0.009 60/60');
select world.reseller('s97-reseller', 'Tandem', 's97', 50);
select world.tariff('s97-reseller', 'retail', 'EUR', '88897', '0.012 60/60');
select world.customer('s97-customer', 's97-reseller', 'retail', 10);
select world.domain('s97.example', 's97-customer');
select world.subscriber('alice@s97.example', 's97-customer', 'demo-secret', '888971000001');
select world.carrier_of('s97-reseller', 's97-cheap', '127.1.97.1', 5080, '88897', '0.004 60/60');
select world.carrier_of('s97-reseller', 's97-dear', '127.1.97.2', 5080, '88897', '0.006 60/60');
