select world.chain('s101', '88901');
select world.carrier_of('s101-reseller', 's101-cheap', '127.1.101.1', 5080, '88901', '0.004 60/60');
select world.carrier_of('s101-reseller', 's101-mid', '127.1.101.2', 5080, '88901', '0.005 60/60');
select world.carrier_of('s101-reseller', 's101-dear', '127.1.101.3', 5080, '88901', '0.006 60/60');
select world.account_option('s101-customer', 'attempts_max', '2');
