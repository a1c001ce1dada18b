select world.chain('s90', '88890');
select world.carrier_of('s90-reseller', 's90-cheap', '127.1.90.1', 5080, '88890', '0.002 60/60');
select world.carrier_of('s90-reseller', 's90-loss', '127.1.90.2', 5080, '88890', '0.004 60/60');
select world.account_option('s90-reseller', 'loss_pct', '0'), world.account_option('s90-reseller', 'routing', 'priority');
select world.carrier_option('s90-cheap', 'priority', '9'), world.carrier_option('s90-loss', 'priority', '1');
