select world.tariff('Tandem', 's12', 'EUR', '88812', '0.009 60/60');
select world.reseller('s12-reseller', 'Tandem', 's12', 0.008999);
select world.tariff('s12-reseller', 'dealer', 'EUR', '88812', '0.01 60/60');
select world.reseller('s12-dealer', 's12-reseller', 'dealer', 20);
select world.tariff('s12-dealer', 'retail', 'EUR', '88812', '0.012 60/60');
select world.customer('s12-customer', 's12-dealer', 'retail', 10);
select world.domain('s12.example', 's12-customer');
select world.subscriber('alice@s12.example', 's12-customer', 'demo-secret', '888121000001');
select world.carrier_of('s12-reseller', 's12-cheap', '127.1.12.1', 5080, '88812', '0.004 60/60');
