select world.chain('s113', '88913');
select world.carrier_of('s113-reseller', 's113-cheap', '127.1.113.1', 5080, '88913', '0.004 60/60');
select world.carrier_of('s113-reseller', 's113-dear', '127.1.113.2', 5080, '88913', '0.006 60/60');
select world.peer_option('s113-cheap', 'transport', 'tcp');
