select world.tariff('Tandem', 's19', 'EUR', '88819', '0.009 60/60');
select world.reseller('s19-reseller', 'Tandem', 's19', 50);
select world.tariff('s19-reseller', 'retail', 'EUR', '88819', '0.012 60/60');
select world.customer('s19-customer', 's19-reseller', 'retail', 0);
select world.domain('s19.example', 's19-customer');
select world.subscriber('alice@s19.example', 's19-customer', 'demo-secret', '888191000001');
select world.carrier_of('s19-reseller', 's19-rescue', '127.1.19.1', 5080, '88819', '0.004 60/60');
insert into tandem.emergency_route(domain, number, group_ids) values ('s19.example', '112', array[world.carrier_id('s19-rescue')]);
