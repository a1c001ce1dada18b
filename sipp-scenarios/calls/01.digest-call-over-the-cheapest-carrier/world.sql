select world.tariff('Tandem', 's01', 'EUR', '88801', '0.009 60/60');
select world.reseller('s01-reseller', 'Tandem', 's01', 50);
select world.tariff('s01-reseller', 'retail', 'EUR', '88801', '0.012 60/60');
select world.customer('s01-customer', 's01-reseller', 'retail', 10);
select world.domain('s01.example', 's01-customer');
select world.subscriber('alice@s01.example', 's01-customer', 'demo-secret', '888011000001');
select world.carrier_of('s01-reseller', 's01-cheap', '127.1.1.1', 5080, '88801', '0.004 60/60');
select world.carrier_of('s01-reseller', 's01-dear', '127.1.1.2', 5080, '88801', '0.006 60/60');
