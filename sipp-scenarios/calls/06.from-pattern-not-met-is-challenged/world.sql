select world.chain('s06', '88806');
select world.trusted('alice@s06.example', '127.1.6.9/32', 'udp', '^sip:pbx-[0-9]+@');
select world.carrier_of('s06-reseller', 's06-cheap', '127.1.6.1', 5080, '88806', '0.004 60/60');
