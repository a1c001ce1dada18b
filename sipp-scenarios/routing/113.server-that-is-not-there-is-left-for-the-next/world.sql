select world.tariff('Tandem', 's113', 'EUR', '88913', '0.009 60/60');
select world.reseller('s113-reseller', 'Tandem', 's113', 50);
select world.tariff('s113-reseller', 'retail', 'EUR', '88913', '0.012 60/60');
select world.customer('s113-customer', 's113-reseller', 'retail', 10);
select world.domain('s113.example', 's113-customer');
select world.subscriber('alice@s113.example', 's113-customer', 'demo-secret', '889131000001');
select world.carrier_of('s113-reseller', 's113-cheap', '127.1.113.1', 5080, '88913', '0.004 60/60');
select world.carrier_of('s113-reseller', 's113-dear', '127.1.113.2', 5080, '88913', '0.006 60/60');
select world.peer_option('s113-cheap', 'transport', 'tcp');
