select world.tariff('Tandem', 's120', 'EUR', '88920', '0.009 60/60');
select world.reseller('s120-reseller', 'Tandem', 's120', 50);
select world.tariff('s120-reseller', 'retail', 'EUR', '88920', '0.012 60/60');
select world.customer('s120-customer', 's120-reseller', 'retail', 10);
select world.domain('s120.example', 's120-customer');
select world.subscriber('alice@s120.example', 's120-customer', 'demo-secret', '889201000001');
select world.subscriber_option('alice@s120.example', 'cli_policy', 'anonymise');
select world.carrier_of('s120-reseller', 's120-cheap', '127.1.120.1', 5080, '88920', '0.004 60/60');
