select world.chain('s117', '88917');
select world.carrier_of('s117-reseller', 's117-cheap', '127.1.117.1', 5080, '88917', '0.004 60/60');
select world.carrier_of('s117-reseller', 's117-dear', '127.1.117.2', 5080, '88917', '0.006 60/60');
select world.peer_option('s117-cheap', 'probe', 'true');
select world.no_rules('s117-dear');
select world.rule('s117-dear', '889170');
