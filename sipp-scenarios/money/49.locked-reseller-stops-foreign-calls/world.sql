select world.chain('s49', '88849');
select world.carrier_of('s49-reseller', 's49-cheap', '127.1.49.1', 5080, '88849', '0.004 60/60');
select world.lock('s49-reseller', 'foreign');
