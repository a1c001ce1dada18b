select world.chain('s09', '88809');
select world.carrier_of('s09-reseller', 's09-cheap', '127.1.9.1', 5080, '88809', '0.004 60/60');
select world.carrier_of('s09-reseller', 's09-dear', '127.1.9.2', 5080, '88809', '0.006 60/60');
