select world.tariff('Tandem', 's102', 'EUR', '88902', '0.009 60/60');
select world.reseller('s102-reseller', 'Tandem', 's102', 50);
select world.tariff('s102-reseller', 'retail', 'EUR', '88902', '0.012 60/60');
select world.customer('s102-customer', 's102-reseller', 'retail', 10);
select world.domain('s102.example', 's102-customer');
select world.subscriber('alice@s102.example', 's102-customer', 'demo-secret', '889021000001');
select world.carrier_of('s102-reseller', 's102-cheap', '127.1.102.1', 5080, '88902', '0.004 60/60');
select world.carrier_of('s102-reseller', 's102-dear', '127.1.102.2', 5080, '88902', '0.006 60/60');
select world.peer_option('s102-cheap', 'pdd_max_ms', '700');
