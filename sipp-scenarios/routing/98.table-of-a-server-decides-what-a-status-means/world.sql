select world.chain('s98', '88898');
select world.carrier_of('s98-reseller', 's98-cheap', '127.1.98.1', 5080, '88898', '0.004 60/60');
select world.carrier_of('s98-reseller', 's98-mid', '127.1.98.2', 5080, '88898', '0.005 60/60');
select world.carrier_of('s98-reseller', 's98-dear', '127.1.98.3', 5080, '88898', '0.006 60/60');
select world.hunt('s98-cheap', 486, 'continue'), world.hunt('s98-mid', 500, 'stop', 480, 'Try Tomorrow');
