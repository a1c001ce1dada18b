select world.tariff('Tandem', 's119', 'EUR', '88919', '0.009 60/60');
select world.reseller('s119-reseller', 'Tandem', 's119', 50);
select world.tariff('s119-reseller', 'retail', 'EUR', '88919', '0.012 60/60');
select world.customer('s119-customer', 's119-reseller', 'retail', 10);
select world.domain('s119.example', 's119-customer');
select world.subscriber('alice@s119.example', 's119-customer', 'demo-secret', '889191000001');
select world.carrier_of('s119-reseller', 's119-peer', '127.1.119.1', 5080, '88919', '0.004 60/60');
select world.did('889190000001', 'alice@s119.example');
