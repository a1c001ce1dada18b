select world.tariff('Tandem', 's26', 'EUR', '88826', '0.009 60/60');
select world.reseller('s26-reseller', 'Tandem', 's26', 50);
select world.tariff('s26-reseller', 'retail', 'EUR', '88826', '0.012 60/60');
select world.customer('s26-customer', 's26-reseller', 'retail', 10);
select world.domain('s26.example', 's26-customer');
select world.subscriber('alice@s26.example', 's26-customer', 'demo-secret', '888261000001');
select world.carrier_of('s26-reseller', 's26-cheap', '127.1.26.1', 5080, '88826', '0.004 60/60');
