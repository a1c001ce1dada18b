select world.chain('s23', '88823');
select world.carrier_of('s23-reseller', 's23-cheap', '127.1.23.1', 5080, '88823', '0.004 60/60');
update tandem.account set barred = '{88823}' where name = 's23-reseller';
