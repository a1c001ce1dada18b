select world.chain('s112', '88912');
select world.carrier_of('s112-reseller', 's112-cheap', '127.1.112.1', 5080, '88912', '0.004 60/60');
select world.peer_option('s112-cheap', 'transport', 'tcp');
