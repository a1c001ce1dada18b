select world.chain('s99', '88899');
select world.carrier_of('s99-reseller', 's99-cheap', '127.1.99.1', 5080, '88899', '0.004 60/60');
select world.carrier_of('s99-reseller', 's99-dear', '127.1.99.2', 5080, '88899', '0.006 60/60');
