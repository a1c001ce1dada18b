select world.chain('s01', '88801');
select world.carrier_of('s01-reseller', 's01-cheap', '127.1.1.1', 5080, '88801', '0.004 60/60');
select world.carrier_of('s01-reseller', 's01-dear', '127.1.1.2', 5080, '88801', '0.006 60/60');
