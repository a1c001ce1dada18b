select world.chain('s47', '88847');
select world.carrier_of('s47-reseller', 's47-cheap', '127.1.47.1', 5080, '88847', '0.004 60/60');
select world.did('888471000001', 'alice@s47.example');
select world.limits('s47-customer', channels_in => 1);
