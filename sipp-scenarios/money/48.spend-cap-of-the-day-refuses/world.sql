select world.tariff('Tandem', 's48', 'EUR', '88848', '0.009 60/60');
select world.reseller('s48-reseller', 'Tandem', 's48', 50);
select world.tariff('s48-reseller', 'retail', 'EUR', '88848', '0.012 60/60');
select world.customer('s48-customer', 's48-reseller', 'retail', 10);
select world.domain('s48.example', 's48-customer');
select world.subscriber('alice@s48.example', 's48-customer', 'demo-secret', '888481000001');
select world.carrier_of('s48-reseller', 's48-cheap', '127.1.48.1', 5080, '88848', '0.004 60/60');
select world.limits('s48-reseller', day => 0.005);
