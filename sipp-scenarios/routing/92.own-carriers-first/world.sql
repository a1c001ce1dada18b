select world.chain('s92', '88892');
select world.carrier_of('s92-reseller', 's92-own', '127.1.92.1', 5080, '88892', '0.004 60/60');
select world.carrier_of('Tandem', 's92-root', '127.1.92.2', 5080, '88892', '0.002 60/60');
select world.no_rules('s92-root');
select world.rule('s92-root', '88892');
select world.account_option('s92-reseller', 'carriers', 'own_first');
