select world.tariff('Tandem', 's78', 'EUR', '88878', '0.009 60/60');
select world.reseller('s78-reseller', 'Tandem', 's78', 50);
select world.tariff('s78-reseller', 'retail', 'EUR', '88878', '0.012 60/60');
select world.customer('s78-customer', 's78-reseller', 'retail', 10);
select world.domain('s78.example', 's78-customer');
select world.subscriber('alice@s78.example', 's78-customer', null, '888781000001');
select world.subscriber('bob@s78.example', 's78-customer', null, '888781000002');
select world.trusted('bob@s78.example', '127.1.78.9/32', 'udp', '^sip:bob@'), world.trusted('alice@s78.example', '127.1.78.9/32', 'udp', '^sip:alice@');
select world.carrier_of('s78-reseller', 's78-cheap', '127.1.78.1', 5080, '88878', '0.004 60/60');
