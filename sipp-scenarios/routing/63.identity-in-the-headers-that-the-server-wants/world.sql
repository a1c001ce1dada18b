select world.tariff('Tandem', 's63', 'EUR', '88863', '0.009 60/60');
select world.reseller('s63-reseller', 'Tandem', 's63', 50);
select world.tariff('s63-reseller', 'retail', 'EUR', '88863', '0.012 60/60');
select world.customer('s63-customer', 's63-reseller', 'retail', 10);
select world.domain('s63.example', 's63-customer');
select world.subscriber('alice@s63.example', 's63-customer', 'demo-secret', '888631000001');
select world.carrier_of('s63-reseller', 's63-cheap', '127.1.63.1', 5080, '88863', '0.004 60/60');
select world.peer_option('s63-cheap', 'identity_headers', 'rpid,ppi');
select world.peer_option('s63-cheap', 'identity_host', 'trunk.example');
