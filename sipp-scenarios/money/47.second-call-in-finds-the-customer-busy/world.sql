select world.tariff('Tandem', 's47', 'EUR', '88847', '0.009 60/60');
select world.reseller('s47-reseller', 'Tandem', 's47', 50);
select world.tariff('s47-reseller', 'retail', 'EUR', '88847', '0.012 60/60');
select world.customer('s47-customer', 's47-reseller', 'retail', 10);
select world.domain('s47.example', 's47-customer');
select world.subscriber('alice@s47.example', 's47-customer', 'demo-secret', '888471000001');
select world.carrier_of('s47-reseller', 's47-cheap', '127.1.47.1', 5080, '88847', '0.004 60/60');
select world.did('888471000001', 'alice@s47.example');
select world.limits('s47-customer', channels_in => 1);
