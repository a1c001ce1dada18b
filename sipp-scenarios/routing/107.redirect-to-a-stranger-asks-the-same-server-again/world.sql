select world.tariff('Tandem', 's107', 'EUR', '88907', '0.009 60/60');
select world.reseller('s107-reseller', 'Tandem', 's107', 50);
select world.tariff('s107-reseller', 'retail', 'EUR', '88907', '0.012 60/60');
select world.customer('s107-customer', 's107-reseller', 'retail', 10);
select world.domain('s107.example', 's107-customer');
select world.subscriber('alice@s107.example', 's107-customer', 'demo-secret', '889071000001');
select world.carrier_of('s107-reseller', 's107-cheap', '127.1.107.1', 5080, '88907', '0.004 60/60');
select world.peer_option('s107-cheap', 'redirects', 'true');
