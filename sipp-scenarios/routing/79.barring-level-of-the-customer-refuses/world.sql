select world.chain('s79', '88879');
select world.carrier_of('s79-reseller', 's79-cheap', '127.1.79.1', 5080, '88879', '0.004 60/60');
select world.barring('s79-reseller', 's79-no-premium', 'blacklist', array['^888799', '^888790']);
select world.bar('s79-customer', 's79-no-premium');
