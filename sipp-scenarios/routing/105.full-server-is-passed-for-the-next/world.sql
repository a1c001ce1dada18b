select world.tariff('Tandem', 's105', 'EUR', '88905', '0.009 60/60');
select world.reseller('s105-reseller', 'Tandem', 's105', 50);
select world.tariff('s105-reseller', 'retail', 'EUR', '88905', '0.012 60/60');
select world.customer('s105-customer', 's105-reseller', 'retail', 10);
select world.domain('s105.example', 's105-customer');
select world.subscriber('alice@s105.example', 's105-customer', 'demo-secret', '889051000001');
select world.carrier_of('s105-reseller', 's105-cheap', '127.1.105.1', 5080, '88905', '0.004 60/60');
select world.carrier_of('s105-reseller', 's105-dear', '127.1.105.2', 5080, '88905', '0.006 60/60');
select world.peer_option('s105-cheap', 'channels_max', '1');
