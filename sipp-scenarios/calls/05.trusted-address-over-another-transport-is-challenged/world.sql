select world.chain('s05', '88805');
select world.trusted('alice@s05.example', '127.1.5.9/32', 'udp', '');
select world.carrier_of('s05-reseller', 's05-cheap', '127.1.5.1', 5080, '88805', '0.004 60/60');
