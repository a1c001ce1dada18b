select world.tariff('Tandem', 's112', 'EUR', '88912', '0.009 60/60');
select world.reseller('s112-reseller', 'Tandem', 's112', 50);
select world.tariff('s112-reseller', 'retail', 'EUR', '88912', '0.012 60/60');
select world.customer('s112-customer', 's112-reseller', 'retail', 10);
select world.domain('s112.example', 's112-customer');
select world.subscriber('alice@s112.example', 's112-customer', 'demo-secret', '889121000001');
select world.carrier_of('s112-reseller', 's112-cheap', '127.1.112.1', 5080, '88912', '0.004 60/60');
select world.peer_option('s112-cheap', 'transport', 'tcp');
