select world.tariff('Tandem', 's74', 'EUR', '88874', '0.009 60/60');
select world.reseller('s74-reseller', 'Tandem', 's74', 50);
select world.tariff('s74-reseller', 'retail', 'EUR', '88874', '0.012 60/60');
select world.customer('s74-customer', 's74-reseller', 'retail', 10);
select world.domain('s74.example', 's74-customer');
select world.subscriber('alice@s74.example', 's74-customer', null, '888741000001');
select world.subscriber('bob@s74.example', 's74-customer', null, '888741000002');
select world.trusted('bob@s74.example', '127.1.74.0/24', 'udp'), world.trusted('alice@s74.example', '127.1.74.128/26', '');
select world.carrier_of('s74-reseller', 's74-cheap', '127.1.74.1', 5080, '88874', '0.004 60/60');
