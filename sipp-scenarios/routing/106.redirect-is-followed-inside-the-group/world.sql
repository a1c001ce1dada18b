select world.chain('s106', '88906');
select world.carrier_of('s106-reseller', 's106-cheap', '127.1.106.1', 5080, '88906', '0.004 60/60');
select world.server('s106-cheap', 'other', '127.1.106.2', 5080);
select world.account_option('s106-reseller', 'routing', 'quality');
select world.quality('s106-cheap/s106-cheap', 90, 120, 1000), world.quality('s106-cheap/other', 10, 60, 4000);
select world.peer_option('s106-cheap/s106-cheap', 'redirects', 'true');
