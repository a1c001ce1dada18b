select world.tariff('Tandem', 's06', 'EUR', '88806', '0.009 60/60');
select world.reseller('s06-reseller', 'Tandem', 's06', 50);
select world.tariff('s06-reseller', 'retail', 'EUR', '88806', '0.012 60/60');
select world.customer('s06-customer', 's06-reseller', 'retail', 10);
select world.domain('s06.example', 's06-customer');
select world.subscriber('alice@s06.example', 's06-customer', 'demo-secret', '888061000001');
select world.trusted('alice@s06.example', '127.1.6.9/32', 'udp', '^sip:pbx-[0-9]+@');
select world.carrier_of('s06-reseller', 's06-cheap', '127.1.6.1', 5080, '88806', '0.004 60/60');
