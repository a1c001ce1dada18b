select world.tariff('Tandem', 's89', 'EUR', '88889', '0.009 60/60');
select world.reseller('s89-reseller', 'Tandem', 's89', 50);
select world.tariff('s89-reseller', 'retail', 'EUR', '88889', '0.012 60/60');
select world.customer('s89-customer', 's89-reseller', 'retail', 10);
select world.domain('s89.example', 's89-customer');
select world.subscriber('alice@s89.example', 's89-customer', 'demo-secret', '888891000001');
select world.carrier_of('s89-reseller', 's89-cheap', '127.1.89.1', 5080, '88889', '0.004 60/60');
select world.rule('s89-cheap', '888890', block => true);
