select world.tariff('Tandem', 's11', 'EUR', '88811', '0.009 60/60');
select world.reseller('s11-reseller', 'Tandem', 's11', 50);
select world.tariff('s11-reseller', 'retail', 'EUR', '88811', '0.012 60/60');
select world.customer('s11-customer', 's11-reseller', 'retail', 0.011999);
select world.domain('s11.example', 's11-customer');
select world.subscriber('alice@s11.example', 's11-customer', 'demo-secret', '888111000001');
select world.carrier_of('s11-reseller', 's11-cheap', '127.1.11.1', 5080, '88811', '0.004 60/60');
