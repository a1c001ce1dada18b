select world.chain('s94', '88894');
select world.carrier_of('s94-reseller', 's94-own', '127.1.94.1', 5080, '88894', '0.004 60/60');
select world.reseller('s94-stranger', 'Tandem', 's94', 50);
select world.carrier_of('s94-stranger', 's94-foreign', '127.1.94.2', 5080, '88894', '0.001 60/60');
