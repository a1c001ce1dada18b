select world.tariff('Tandem', 's68', 'EUR', '88868', '0.009 60/60');
select world.reseller('s68-reseller', 'Tandem', 's68', 50);
select world.tariff('s68-reseller', 'retail', 'EUR', '88868', '0.012 60/60');
select world.customer('s68-customer', 's68-reseller', 'retail', 10);
select world.domain('s68.example', 's68-customer');
select world.subscriber('alice@s68.example', 's68-customer', 'demo-secret', '888681000001');
select world.subscriber_option('alice@s68.example', 'allowed_clis', '49301234*');
select world.carrier_of('s68-reseller', 's68-cheap', '127.1.68.1', 5080, '88868', '0.004 60/60');
select world.peer_option('s68-cheap', 'identity_shown', 'own');
