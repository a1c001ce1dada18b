select world.tariff('Tandem', 'l08', 'EUR', '88508', '0.009 60/60');
select world.reseller('l08-reseller', 'Tandem', 'l08', 1000000);
select world.tariff('l08-reseller', 'retail', 'EUR', '88508', '0.012 60/60');
select world.customer('l08-customer', 'l08-reseller', 'retail', 1000000);
select world.domain('l08.example', 'l08-customer');
select world.subscriber('pbx@l08.example', 'l08-customer', null, '885081900001');
select world.trusted('pbx@l08.example', '127.4.8.9/32', 'udp');
select world.carrier_of('l08-reseller', 'l08-carrier', '127.4.8.1', 5080, '88508', '0.004 60/60');
