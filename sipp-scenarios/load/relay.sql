-- A trusted PBX and one carrier: the calls that `tandem bench relay` sends through the router.
select world.tariff('Tandem', 'relay', 'EUR', '88820', '0.009 60/60');
select world.reseller('relay-reseller', 'Tandem', 'relay', 1000000);
select world.tariff('relay-reseller', 'retail', 'EUR', '88820', '0.012 60/60');
select world.customer('relay-customer', 'relay-reseller', 'retail', 1000000);
select world.domain('relay.example', 'relay-customer');
select world.subscriber('pbx@relay.example', 'relay-customer', null, '888200100001');
select world.trusted('pbx@relay.example', '127.1.200.9/32', 'udp');
select world.carrier_of('relay-reseller', 'relay-carrier', '127.1.200.1', 5080, '88820', '0.004 60/60');
