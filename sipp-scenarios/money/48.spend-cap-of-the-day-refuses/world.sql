select world.chain('s48', '88848');
select world.carrier_of('s48-reseller', 's48-cheap', '127.1.48.1', 5080, '88848', '0.004 60/60');
select world.limits('s48-reseller', day => 0.005);
