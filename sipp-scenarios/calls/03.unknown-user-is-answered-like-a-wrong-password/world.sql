select world.tariff('Tandem', 's03', 'EUR', '88803', '0.009 60/60');
select world.reseller('s03-reseller', 'Tandem', 's03', 50);
select world.tariff('s03-reseller', 'retail', 'EUR', '88803', '0.012 60/60');
select world.customer('s03-customer', 's03-reseller', 'retail', 10);
select world.domain('s03.example', 's03-customer');
select world.subscriber('alice@s03.example', 's03-customer', 'demo-secret', '888031000001');
select world.carrier_of('s03-reseller', 's03-cheap', '127.1.3.1', 5080, '88803', '0.004 60/60');
