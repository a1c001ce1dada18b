select world.tariff('Tandem', 's72', 'EUR', '88872', '0.009 60/60');
select world.reseller('s72-reseller', 'Tandem', 's72', 50);
select world.tariff('s72-reseller', 'retail', 'EUR', '88872', '0.012 60/60');
select world.customer('s72-customer', 's72-reseller', 'retail', 10);
select world.domain('s72.example', 's72-customer');
select world.subscriber('alice@s72.example', 's72-customer', 'demo-secret', '888721000001');
select world.carrier_of('s72-reseller', 's72-peer', '127.1.72.1', 5080, '88872', '0.004 60/60');
select world.did('888720000001', 'alice@s72.example');
select world.inbound('s72-peer', 'from', 'domain', '^peer\.example', null, null);
