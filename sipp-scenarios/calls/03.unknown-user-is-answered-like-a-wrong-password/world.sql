select world.chain('s03', '88803');
select world.carrier_of('s03-reseller', 's03-cheap', '127.1.3.1', 5080, '88803', '0.004 60/60');
