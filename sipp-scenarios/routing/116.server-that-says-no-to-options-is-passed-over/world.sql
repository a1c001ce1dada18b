select world.chain('s116', '88916');
select world.carrier_of('s116-reseller', 's116-cheap', '127.1.116.1', 5080, '88916', '0.004 60/60');
select world.carrier_of('s116-reseller', 's116-gone', '127.1.116.2', 5080, '88916', '0.003 60/60');
select world.carrier_of('s116-reseller', 's116-dear', '127.1.116.3', 5080, '88916', '0.006 60/60');
select world.peer_option('s116-cheap', 'probe', 'true'), world.peer_option('s116-gone', 'probe', 'true');
