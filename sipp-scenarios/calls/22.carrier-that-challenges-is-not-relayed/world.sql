select world.chain('s22', '88822');
select world.carrier_of('s22-reseller', 's22-cheap', '127.1.22.1', 5080, '88822', '0.004 60/60');
