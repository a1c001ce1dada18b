select world.tariff('Tandem', 's21', 'EUR', '88821', '0.009 60/60');
select world.reseller('s21-reseller', 'Tandem', 's21', 50);
select world.tariff('s21-reseller', 'retail', 'EUR', '88821', '0.012 60/60');
select world.customer('s21-customer', 's21-reseller', 'retail', 10);
select world.domain('s21.example', 's21-customer');
select world.subscriber('alice@s21.example', 's21-customer', 'demo-secret', '888211000001');
select world.carrier_of('s21-reseller', 's21-cheap', '127.1.21.1', 5080, '88821', '0.004 60/60');
