select world.chain('s84', '88884');
select world.carrier_of('s84-reseller', 's84-cheap', '127.1.84.1', 5080, '88884', '0.004 60/60');
select world.carrier_of('s84-reseller', 's84-dear', '127.1.84.2', 5080, '88884', '0.006 60/60');
select world.account_option('s84-reseller', 'routing', 'priority,cost');
select world.carrier_option('s84-cheap', 'priority', '9'), world.carrier_option('s84-dear', 'priority', '1');
