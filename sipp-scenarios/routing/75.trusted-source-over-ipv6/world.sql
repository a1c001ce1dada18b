select world.tariff('Tandem', 's75', 'EUR', '88875', '0.009 60/60');
select world.reseller('s75-reseller', 'Tandem', 's75', 50);
select world.tariff('s75-reseller', 'retail', 'EUR', '88875', '0.012 60/60');
select world.customer('s75-customer', 's75-reseller', 'retail', 10);
select world.domain('s75.example', 's75-customer');
select world.subscriber('alice@s75.example', 's75-customer', null, '888751000001');
select world.trusted('alice@s75.example', '::1/128', 'udp', '@s75\.example');
select world.carrier_of('s75-reseller', 's75-cheap', '127.1.75.1', 5080, '88875', '0.004 60/60');
