select world.tariff('Tandem', 's13', 'EUR', '88813', '0.009 60/60');
select world.reseller('s13-reseller', 'Tandem', 's13', 50);
select world.tariff('s13-reseller', 'retail', 'EUR', '88813', '0.012 60/60');
select world.customer('s13-customer', 's13-reseller', 'retail', 10);
select world.domain('s13.example', 's13-customer');
select world.subscriber('alice@s13.example', 's13-customer', 'demo-secret', '888131000001');
select world.carrier_of('s13-reseller', 's13-cheap', '127.1.13.1', 5080, '88813', '0.004 60/60');
update tandem.account set status = 'suspended' where name = 's13-reseller';
