select world.chain('s77', '88877');
select world.carrier_of('s77-reseller', 's77-cheap', '127.1.77.1', 5080, '88877', '0.004 60/60');
