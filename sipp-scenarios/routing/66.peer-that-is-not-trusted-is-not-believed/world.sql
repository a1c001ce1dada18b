select world.tariff('Tandem', 's66', 'EUR', '88866', '0.009 60/60');
select world.reseller('s66-reseller', 'Tandem', 's66', 50);
select world.tariff('s66-reseller', 'retail', 'EUR', '88866', '0.012 60/60');
select world.customer('s66-customer', 's66-reseller', 'retail', 10);
select world.domain('s66.example', 's66-customer');
select world.subscriber('alice@s66.example', 's66-customer', 'demo-secret', '888661000001');
select world.carrier_of('s66-reseller', 's66-peer', '127.1.66.1', 5080, '88866', '0.004 60/60');
select world.did('888660000001', 'alice@s66.example');
select world.peer_option('s66-peer', 'is_trusted', 'false');
