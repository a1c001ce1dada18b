select world.chain('s76', '88876');
select world.carrier_of('s76-reseller', 's76-cheap', '::1', 6076, '88876', '0.004 60/60');
select world.inbound('s76-cheap', 'from', 'domain', '^s76\.example', null, null);
