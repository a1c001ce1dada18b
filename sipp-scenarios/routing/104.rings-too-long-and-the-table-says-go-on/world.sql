select world.chain('s104', '88904');
select world.carrier_of('s104-reseller', 's104-cheap', '127.1.104.1', 5080, '88904', '0.004 60/60');
select world.carrier_of('s104-reseller', 's104-dear', '127.1.104.2', 5080, '88904', '0.006 60/60');
select world.peer_option('s104-cheap', 'ring_max_s', '1'), world.hunt('s104-cheap', 480, 'continue');
