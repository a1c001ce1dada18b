select world.chain('s86', '88886');
select world.carrier_of('s86-reseller', 's86-cheap', '127.1.86.1', 5080, '88886', '0.004 60/60');
select world.carrier_of('s86-reseller', 's86-dear', '127.1.86.2', 5080, '88886', '0.006 60/60');
select world.account_option('s86-reseller', 'routing', 'quality,cost');
select world.quality('s86-cheap', 30, 60, 4000), world.quality('s86-dear', 80, 120, 1000);
