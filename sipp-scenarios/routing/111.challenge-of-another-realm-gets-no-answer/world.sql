select world.tariff('Tandem', 's111', 'EUR', '88911', '0.009 60/60');
select world.reseller('s111-reseller', 'Tandem', 's111', 50);
select world.tariff('s111-reseller', 'retail', 'EUR', '88911', '0.012 60/60');
select world.customer('s111-customer', 's111-reseller', 'retail', 10);
select world.domain('s111.example', 's111-customer');
select world.subscriber('alice@s111.example', 's111-customer', 'demo-secret', '889111000001');
select world.carrier_of('s111-reseller', 's111-cheap', '127.1.111.1', 5080, '88911', '0.004 60/60');
select world.carrier_of('s111-reseller', 's111-dear', '127.1.111.2', 5080, '88911', '0.006 60/60');
select world.peer_option('s111-cheap', 'login', 'trunk:carrier.example:trunk-secret');
