select world.tariff('Tandem', 's62', 'EUR', '88862', '0.009 60/60');
select world.reseller('s62-reseller', 'Tandem', 's62', 50);
select world.tariff('s62-reseller', 'retail', 'EUR', '88862', '0.012 60/60');
select world.customer('s62-customer', 's62-reseller', 'retail', 10);
select world.domain('s62.example', 's62-customer');
select world.subscriber('alice@s62.example', 's62-customer', 'demo-secret', '888621000001');
select world.carrier_of('s62-reseller', 's62-cheap', '127.1.62.1', 5080, '88862', '0.004 60/60');
select world.peer_option('s62-cheap', 'is_trusted', 'false');
