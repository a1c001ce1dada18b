select world.tariff('Tandem', 's67', 'EUR', '88867', '0.009 60/60');
select world.reseller('s67-reseller', 'Tandem', 's67', 50);
select world.tariff('s67-reseller', 'retail', 'EUR', '88867', '0.012 60/60');
select world.customer('s67-customer', 's67-reseller', 'retail', 10);
select world.domain('s67.example', 's67-customer');
select world.subscriber('alice@s67.example', 's67-customer', 'demo-secret', '888671000001');
select world.subscriber_option('alice@s67.example', 'allowed_clis', '49301234*');
select world.carrier_of('s67-reseller', 's67-cheap', '127.1.67.1', 5080, '88867', '0.004 60/60');
