select world.tariff('Tandem', 's83', 'EUR', '88883', '0.009 60/60');
select world.reseller('s83-reseller', 'Tandem', 's83', 50);
select world.tariff('s83-reseller', 'retail', 'EUR', '88883', '0.012 60/60');
select world.customer('s83-customer', 's83-reseller', 'retail', 10);
select world.domain('s83.example', 's83-customer');
select world.subscriber('alice@s83.example', 's83-customer', 'demo-secret', '888831000001');
select world.carrier_of('s83-reseller', 's83-peer', '127.1.83.1', 5080, '88883', '0.004 60/60');
select world.did('888830000001', 'alice@s83.example');
select world.subscriber_option('alice@s83.example', 'blocked_in', 'anonymous');
