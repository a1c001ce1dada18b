select world.tariff('Tandem', 's110', 'EUR', '88910', '0.009 60/60');
select world.reseller('s110-reseller', 'Tandem', 's110', 50);
select world.tariff('s110-reseller', 'retail', 'EUR', '88910', '0.012 60/60');
select world.customer('s110-customer', 's110-reseller', 'retail', 10);
select world.domain('s110.example', 's110-customer');
select world.subscriber('alice@s110.example', 's110-customer', 'demo-secret', '889101000001');
select world.carrier_of('s110-reseller', 's110-cheap', '127.1.110.1', 5080, '88910', '0.004 60/60');
select world.carrier_of('s110-reseller', 's110-dear', '127.1.110.2', 5080, '88910', '0.006 60/60');
select world.peer_option('s110-cheap', 'login', 'trunk:carrier.example:trunk-secret');
