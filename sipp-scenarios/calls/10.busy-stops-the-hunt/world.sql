select world.tariff('Tandem', 's10', 'EUR', '88810', '0.009 60/60');
select world.reseller('s10-reseller', 'Tandem', 's10', 50);
select world.tariff('s10-reseller', 'retail', 'EUR', '88810', '0.012 60/60');
select world.customer('s10-customer', 's10-reseller', 'retail', 10);
select world.domain('s10.example', 's10-customer');
select world.subscriber('alice@s10.example', 's10-customer', 'demo-secret', '888101000001');
select world.carrier_of('s10-reseller', 's10-cheap', '127.1.10.1', 5080, '88810', '0.004 60/60');
select world.carrier_of('s10-reseller', 's10-dear', '127.1.10.2', 5080, '88810', '0.006 60/60');
