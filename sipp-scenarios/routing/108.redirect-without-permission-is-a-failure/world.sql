select world.chain('s108', '88908');
select world.carrier_of('s108-reseller', 's108-cheap', '127.1.108.1', 5080, '88908', '0.004 60/60');
select world.carrier_of('s108-reseller', 's108-dear', '127.1.108.2', 5080, '88908', '0.006 60/60');
