select world.tariff('Tandem', 's02', 'EUR', '88802', '0.009 60/60');
select world.reseller('s02-reseller', 'Tandem', 's02', 50);
select world.tariff('s02-reseller', 'retail', 'EUR', '88802', '0.012 60/60');
select world.customer('s02-customer', 's02-reseller', 'retail', 10);
select world.domain('s02.example', 's02-customer');
select world.subscriber('alice@s02.example', 's02-customer', 'demo-secret', '888021000001');
select world.carrier_of('s02-reseller', 's02-cheap', '127.1.2.1', 5080, '88802', '0.004 60/60');
