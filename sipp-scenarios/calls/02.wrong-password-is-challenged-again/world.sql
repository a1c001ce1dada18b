select world.chain('s02', '88802');
select world.carrier_of('s02-reseller', 's02-cheap', '127.1.2.1', 5080, '88802', '0.004 60/60');
