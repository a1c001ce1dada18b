select world.chain('s24', '88824');
select world.carrier_of('s24-reseller', 's24-cheap', '127.1.24.1', 5080, '88824', '0.004 60/60');
