select world.tariff('Tandem', 's08', 'EUR', '88808', '0.009 60/60');
select world.reseller('s08-reseller', 'Tandem', 's08', 50);
select world.tariff('s08-reseller', 'retail', 'EUR', '88808', '0.012 60/60');
select world.customer('s08-customer', 's08-reseller', 'retail', 10);
select world.domain('s08.example', 's08-customer');
select world.subscriber('alice@s08.example', 's08-customer', 'demo-secret', '888081000001');
select world.carrier_of('s08-reseller', 's08-peer', '127.1.8.1', 5080, '88808', '0.004 60/60');
select world.did('888081000001', 'alice@s08.example');
select world.inbound('s08-peer', 'from', 'user', '^[+]?[1-8][0-9]{6,14}$', 488, 'Callers Are E.164 Only');
