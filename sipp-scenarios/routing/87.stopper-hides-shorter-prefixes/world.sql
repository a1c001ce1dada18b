select world.chain('s87', '88887');
select world.carrier_of('s87-reseller', 's87-cheap', '127.1.87.1', 5080, '88887', '0.004 60/60');
select world.carrier_of('s87-reseller', 's87-dear', '127.1.87.2', 5080, '88887', '0.006 60/60');
select world.no_rules('s87-dear');
select world.rule('s87-dear', '88887', stopper => true);
