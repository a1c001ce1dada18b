select world.tariff('Tandem', 's46', 'EUR', '88846', '0.009 60/60');
select world.reseller('s46-reseller', 'Tandem', 's46', 50);
select world.tariff('s46-reseller', 'retail', 'EUR', '88846', '0.012 60/60');
select world.customer('s46-customer', 's46-reseller', 'retail', 10);
select world.domain('s46.example', 's46-customer');
select world.subscriber('alice@s46.example', 's46-customer', 'demo-secret', '888461000001');
select world.carrier_of('s46-reseller', 's46-cheap', '127.1.46.1', 5080, '88846', '0.004 60/60');
select world.limits('s46-customer', channels_out => 1);
