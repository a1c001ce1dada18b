select world.chain('s121', '88921');
select world.carrier_of('s121-reseller', 's121-cheap', '127.1.121.1', 5080, '88921', '0.004 60/60');
