select world.tariff('Tandem', 's76', 'EUR', '88876', '0.009 60/60');
select world.reseller('s76-reseller', 'Tandem', 's76', 50);
select world.tariff('s76-reseller', 'retail', 'EUR', '88876', '0.012 60/60');
select world.customer('s76-customer', 's76-reseller', 'retail', 10);
select world.domain('s76.example', 's76-customer');
select world.subscriber('alice@s76.example', 's76-customer', 'demo-secret', '888761000001');
select world.carrier_of('s76-reseller', 's76-cheap', '::1', 6076, '88876', '0.004 60/60');
select world.inbound('s76-cheap', 'from', 'domain', '^s76\.example', null, null);
