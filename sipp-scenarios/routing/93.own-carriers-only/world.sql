select world.chain('s93', '88893');
select world.carrier_of('s93-reseller', 's93-own', '127.1.93.1', 5080, '88893', '0.004 60/60');
select world.carrier_of('Tandem', 's93-root', '127.1.93.2', 5080, '88893', '0.002 60/60');
select world.no_rules('s93-root');
select world.rule('s93-root', '88893');
select world.account_option('s93-reseller', 'carriers', 'own_only');
