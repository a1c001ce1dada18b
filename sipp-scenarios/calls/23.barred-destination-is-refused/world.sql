select world.tariff('Tandem', 's23', 'EUR', '88823', '0.009 60/60');
select world.reseller('s23-reseller', 'Tandem', 's23', 50);
select world.tariff('s23-reseller', 'retail', 'EUR', '88823', '0.012 60/60');
select world.customer('s23-customer', 's23-reseller', 'retail', 10);
select world.domain('s23.example', 's23-customer');
select world.subscriber('alice@s23.example', 's23-customer', 'demo-secret', '888231000001');
select world.carrier_of('s23-reseller', 's23-cheap', '127.1.23.1', 5080, '88823', '0.004 60/60');
update tandem.account set barred = '{88823}' where name = 's23-reseller';
