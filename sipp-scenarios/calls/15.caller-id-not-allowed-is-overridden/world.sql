select world.chain('s15', '88815');
select world.carrier_of('s15-reseller', 's15-cheap', '127.1.15.1', 5080, '88815', '0.004 60/60');
