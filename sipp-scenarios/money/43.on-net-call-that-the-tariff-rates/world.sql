select world.tariff('Tandem', 's43', 'EUR', '88843', '0.009 60/60');
select world.reseller('s43-reseller', 'Tandem', 's43', 50);
select world.tariff('s43-reseller', 'retail', 'EUR', '88843', '0.012 60/60');
select world.tariff_option('s43-reseller', 'retail', onnet => 'all');
select world.customer('s43-customer', 's43-reseller', 'retail', 10);
select world.domain('s43.example', 's43-customer');
select world.subscriber('alice@s43.example', 's43-customer', 'demo-secret', '888431000001');
select world.subscriber('bob@s43.example', 's43-customer', 'demo-secret', '888431000002');
select world.did('888431000002', 'bob@s43.example');
