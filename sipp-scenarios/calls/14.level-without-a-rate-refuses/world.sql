select world.tariff('Tandem', 's14', 'EUR', '88899', '0.009 60/60');
select world.reseller('s14-reseller', 'Tandem', 's14', 50);
select world.tariff('s14-reseller', 'retail', 'EUR', '88814', '0.012 60/60');
select world.customer('s14-customer', 's14-reseller', 'retail', 10);
select world.domain('s14.example', 's14-customer');
select world.subscriber('alice@s14.example', 's14-customer', 'demo-secret', '888141000001');
select world.carrier_of('s14-reseller', 's14-cheap', '127.1.14.1', 5080, '88814', '0.004 60/60');
