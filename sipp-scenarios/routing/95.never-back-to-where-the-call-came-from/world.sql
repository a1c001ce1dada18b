select world.chain('s95', '88895');
select world.carrier_of('s95-reseller', 's95-cheap', '127.1.95.1', 5080, '88895', '0.004 60/60');
select world.inbound('s95-cheap', 'from', 'domain', '^carrier\.example', null, null);
select world.carrier_of('s95-reseller', 's95-dear', '127.1.95.2', 5080, '88895', '0.006 60/60');
