select world.chain('s26', '88826');
select world.carrier_of('s26-reseller', 's26-cheap', '127.1.26.1', 5080, '88826', '0.004 60/60');
