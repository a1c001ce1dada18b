select world.chain('s64', '88864');
select world.carrier_of('s64-reseller', 's64-cheap', '127.1.64.1', 5080, '88864', '0.004 60/60');
