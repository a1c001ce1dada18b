select world.chain('s04', '88804');
select world.trusted('alice@s04.example', '127.1.4.9/32', 'udp', '');
select world.carrier_of('s04-reseller', 's04-cheap', '127.1.4.1', 5080, '88804', '0.004 60/60');
