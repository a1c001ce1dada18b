select world.chain('s13', '88813');
select world.carrier_of('s13-reseller', 's13-cheap', '127.1.13.1', 5080, '88813', '0.004 60/60');
update tandem.account set status = 'suspended' where name = 's13-reseller';
