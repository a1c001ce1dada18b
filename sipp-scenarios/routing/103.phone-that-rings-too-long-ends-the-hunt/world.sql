select world.chain('s103', '88903');
select world.carrier_of('s103-reseller', 's103-cheap', '127.1.103.1', 5080, '88903', '0.004 60/60');
select world.carrier_of('s103-reseller', 's103-dear', '127.1.103.2', 5080, '88903', '0.006 60/60');
select world.peer_option('s103-cheap', 'ring_max_s', '1');
