select world.chain('s102', '88902');
select world.carrier_of('s102-reseller', 's102-cheap', '127.1.102.1', 5080, '88902', '0.004 60/60');
select world.carrier_of('s102-reseller', 's102-dear', '127.1.102.2', 5080, '88902', '0.006 60/60');
select world.peer_option('s102-cheap', 'pdd_max_ms', '700');
