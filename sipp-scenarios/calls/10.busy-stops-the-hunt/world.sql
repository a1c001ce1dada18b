select world.chain('s10', '88810');
select world.carrier_of('s10-reseller', 's10-cheap', '127.1.10.1', 5080, '88810', '0.004 60/60');
select world.carrier_of('s10-reseller', 's10-dear', '127.1.10.2', 5080, '88810', '0.006 60/60');
