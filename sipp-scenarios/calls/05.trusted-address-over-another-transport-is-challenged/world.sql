select world.tariff('Tandem', 's05', 'EUR', '88805', '0.009 60/60');
select world.reseller('s05-reseller', 'Tandem', 's05', 50);
select world.tariff('s05-reseller', 'retail', 'EUR', '88805', '0.012 60/60');
select world.customer('s05-customer', 's05-reseller', 'retail', 10);
select world.domain('s05.example', 's05-customer');
select world.subscriber('alice@s05.example', 's05-customer', 'demo-secret', '888051000001');
select world.trusted('alice@s05.example', '127.1.5.9/32', 'udp', '');
select world.carrier_of('s05-reseller', 's05-cheap', '127.1.5.1', 5080, '88805', '0.004 60/60');
