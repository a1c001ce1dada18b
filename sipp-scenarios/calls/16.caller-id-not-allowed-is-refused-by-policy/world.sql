select world.tariff('Tandem', 's16', 'EUR', '88816', '0.009 60/60');
select world.reseller('s16-reseller', 'Tandem', 's16', 50);
select world.tariff('s16-reseller', 'retail', 'EUR', '88816', '0.012 60/60');
select world.customer('s16-customer', 's16-reseller', 'retail', 10);
select world.domain('s16.example', 's16-customer');
select world.subscriber('alice@s16.example', 's16-customer', 'demo-secret', '888161000001');
update tandem.subscriber set cli_policy = 'reject' where cli = '888161000001';
select world.carrier_of('s16-reseller', 's16-cheap', '127.1.16.1', 5080, '88816', '0.004 60/60');
