select world.tariff('Tandem', 'l03', 'EUR', '88503', '0.009 60/60');
select world.reseller('l03-reseller', 'Tandem', 'l03', 1000000);
select world.tariff('l03-reseller', 'retail', 'EUR', '88503', '0.012 60/60');
select world.customer('l03-customer', 'l03-reseller', 'retail', 1000000);
select world.domain('l03.example', 'l03-customer');
select world.subscriber('pbx@l03.example', 'l03-customer', null, '885031900001');
select world.trusted('pbx@l03.example', '127.4.3.9/32', 'udp');
select world.carrier_of('l03-reseller', 'l03-carrier', '127.4.3.1', 5080, '88503', '0.004 60/60');
