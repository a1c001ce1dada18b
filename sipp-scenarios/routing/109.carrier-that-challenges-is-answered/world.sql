select world.tariff('Tandem', 's109', 'EUR', '88909', '0.009 60/60');
select world.reseller('s109-reseller', 'Tandem', 's109', 50);
select world.tariff('s109-reseller', 'retail', 'EUR', '88909', '0.012 60/60');
select world.customer('s109-customer', 's109-reseller', 'retail', 10);
select world.domain('s109.example', 's109-customer');
select world.subscriber('alice@s109.example', 's109-customer', 'demo-secret', '889091000001');
select world.carrier_of('s109-reseller', 's109-cheap', '127.1.109.1', 5080, '88909', '0.004 60/60');
select world.peer_option('s109-cheap', 'login', 'trunk:carrier.example:trunk-secret');
