select world.tariff('Tandem', 's61', 'EUR', '88861', '0.009 60/60');
select world.reseller('s61-reseller', 'Tandem', 's61', 50);
select world.tariff('s61-reseller', 'retail', 'EUR', '88861', '0.012 60/60');
select world.customer('s61-customer', 's61-reseller', 'retail', 10);
select world.domain('s61.example', 's61-customer');
select world.subscriber('alice@s61.example', 's61-customer', 'demo-secret', '888611000001');
select world.subscriber_option('alice@s61.example', 'clir', 'true');
select world.carrier_of('s61-reseller', 's61-cheap', '127.1.61.1', 5080, '88861', '0.004 60/60');
