select world.chain('s114', '88914');
select world.carrier_of('s114-reseller', 's114-cheap', '127.1.114.1', 5080, '88914', '0.004 60/60');
select world.carrier_of('s114-reseller', 's114-dear', '127.1.114.2', 5080, '88914', '0.006 60/60');
