select world.tariff('Tandem', 's82', 'EUR', '88882', '0.009 60/60');
select world.reseller('s82-reseller', 'Tandem', 's82', 50);
select world.tariff('s82-reseller', 'retail', 'EUR', '88882', '0.012 60/60');
select world.customer('s82-customer', 's82-reseller', 'retail', 10);
select world.domain('s82.example', 's82-customer');
select world.subscriber('alice@s82.example', 's82-customer', 'demo-secret', '888821000001');
select world.carrier_of('s82-reseller', 's82-cheap', '127.1.82.1', 5080, '88882', '0.004 60/60');
select world.account_option('s82-reseller', 'blocked_out', '88882[0-4]*,49900*');
