select world.tariff('Tandem', 's103', 'EUR', '88903', '0.009 60/60');
select world.reseller('s103-reseller', 'Tandem', 's103', 50);
select world.tariff('s103-reseller', 'retail', 'EUR', '88903', '0.012 60/60');
select world.customer('s103-customer', 's103-reseller', 'retail', 10);
select world.domain('s103.example', 's103-customer');
select world.subscriber('alice@s103.example', 's103-customer', 'demo-secret', '889031000001');
select world.carrier_of('s103-reseller', 's103-cheap', '127.1.103.1', 5080, '88903', '0.004 60/60');
select world.carrier_of('s103-reseller', 's103-dear', '127.1.103.2', 5080, '88903', '0.006 60/60');
select world.peer_option('s103-cheap', 'ring_max_s', '1');
