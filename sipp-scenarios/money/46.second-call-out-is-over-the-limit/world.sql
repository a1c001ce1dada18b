select world.chain('s46', '88846');
select world.carrier_of('s46-reseller', 's46-cheap', '127.1.46.1', 5080, '88846', '0.004 60/60');
select world.limits('s46-customer', channels_out => 1);
