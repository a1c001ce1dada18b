select world.chain('s105', '88905');
select world.carrier_of('s105-reseller', 's105-cheap', '127.1.105.1', 5080, '88905', '0.004 60/60');
select world.carrier_of('s105-reseller', 's105-dear', '127.1.105.2', 5080, '88905', '0.006 60/60');
select world.peer_option('s105-cheap', 'channels_max', '1');
