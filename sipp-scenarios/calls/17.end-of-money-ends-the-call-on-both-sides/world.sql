select world.tariff('Tandem', 's17', 'EUR', '88817', '0.03');
select world.reseller('s17-reseller', 'Tandem', 's17', 50);
select world.tariff('s17-reseller', 'retail', 'EUR', '88817', '0.06');
select world.customer('s17-customer', 's17-reseller', 'retail', 0.003);
select world.domain('s17.example', 's17-customer');
select world.subscriber('alice@s17.example', 's17-customer', 'demo-secret', '888171000001');
select world.carrier_of('s17-reseller', 's17-cheap', '127.1.17.1', 5080, '88817', '0.012 2/2');
