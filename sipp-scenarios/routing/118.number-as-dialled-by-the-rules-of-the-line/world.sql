select world.tariff('Tandem', 's118', 'EUR', '88918', '0.009 60/60');
select world.reseller('s118-reseller', 'Tandem', 's118', 50);
select world.tariff('s118-reseller', 'retail', 'EUR', '88918', '0.012 60/60');
select world.customer('s118-customer', 's118-reseller', 'retail', 10);
select world.domain('s118.example', 's118-customer');
select world.subscriber('alice@s118.example', 's118-customer', 'demo-secret', '889181000001');
select world.carrier_of('s118-reseller', 's118-cheap', '127.1.118.1', 5080, '88918', '0.004 60/60');
select world.domain_option('s118.example', 'rewrite_set', world.rewrite('s118-reseller', 's118-of-domain', 'callee_in', '^0', '4999')::text);
select world.subscriber_option('alice@s118.example', 'rewrite_set', world.rewrite('s118-reseller', 's118-of-line', 'callee_in', '^0([0-9]{7})', '88918\1')::text);
