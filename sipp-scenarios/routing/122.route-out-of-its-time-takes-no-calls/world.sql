select world.chain('s122', '88922');
select world.carrier_of('s122-reseller', 's122-cheap', '127.1.122.1', 5080, '88922', '0.004 60/60');
select world.carrier_of('s122-reseller', 's122-dear', '127.1.122.2', 5080, '88922', '0.006 60/60');
select world.time_set('s122-reseller', 's122-never', shut => '{01-01..12-31}');
select world.no_rules('s122-cheap');
select world.rule('s122-cheap', '88922', time_set => 's122-never');
