select world.tariff('Tandem', 's44', 'EUR', '88844', '0.009 60/60');
select world.reseller('s44-reseller', 'Tandem', 's44', 50);
select world.tariff('s44-reseller', 'retail', 'EUR', '88844', '0.012 60/60');
select world.exchange('EUR', 'USD', 1.10);
select world.customer('s44-customer', 's44-reseller', 'retail', 10, currency => 'USD');
select world.domain('s44.example', 's44-customer');
select world.subscriber('alice@s44.example', 's44-customer', 'demo-secret', '888441000001');
select world.carrier_of('s44-reseller', 's44-cheap', '127.1.44.1', 5080, '88844', '0.004 60/60');
