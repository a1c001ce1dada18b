select world.tariff('Tandem', 's104', 'EUR', '88904', '0.009 60/60');
select world.reseller('s104-reseller', 'Tandem', 's104', 50);
select world.tariff('s104-reseller', 'retail', 'EUR', '88904', '0.012 60/60');
select world.customer('s104-customer', 's104-reseller', 'retail', 10);
select world.domain('s104.example', 's104-customer');
select world.subscriber('alice@s104.example', 's104-customer', 'demo-secret', '889041000001');
select world.carrier_of('s104-reseller', 's104-cheap', '127.1.104.1', 5080, '88904', '0.004 60/60');
select world.carrier_of('s104-reseller', 's104-dear', '127.1.104.2', 5080, '88904', '0.006 60/60');
select world.peer_option('s104-cheap', 'ring_max_s', '1'), world.hunt('s104-cheap', 480, 'continue');
