select world.chain('s97', '88897');
select world.carrier_of('s97-reseller', 's97-cheap', '127.1.97.1', 5080, '88897', '0.004 60/60');
select world.carrier_of('s97-reseller', 's97-dear', '127.1.97.2', 5080, '88897', '0.006 60/60');
