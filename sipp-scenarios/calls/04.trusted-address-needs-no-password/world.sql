select world.tariff('Tandem', 's04', 'EUR', '88804', '0.009 60/60');
select world.reseller('s04-reseller', 'Tandem', 's04', 50);
select world.tariff('s04-reseller', 'retail', 'EUR', '88804', '0.012 60/60');
select world.customer('s04-customer', 's04-reseller', 'retail', 10);
select world.domain('s04.example', 's04-customer');
select world.subscriber('alice@s04.example', 's04-customer', 'demo-secret', '888041000001');
select world.trusted('alice@s04.example', '127.1.4.9/32', 'udp', '');
select world.carrier_of('s04-reseller', 's04-cheap', '127.1.4.1', 5080, '88804', '0.004 60/60');
