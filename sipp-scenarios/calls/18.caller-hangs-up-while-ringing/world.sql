select world.chain('s18', '88818');
select world.carrier_of('s18-reseller', 's18-cheap', '127.1.18.1', 5080, '88818', '0.004 60/60');
