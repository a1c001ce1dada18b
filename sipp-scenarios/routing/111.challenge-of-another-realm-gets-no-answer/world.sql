select world.chain('s111', '88911');
select world.carrier_of('s111-reseller', 's111-cheap', '127.1.111.1', 5080, '88911', '0.004 60/60');
select world.carrier_of('s111-reseller', 's111-dear', '127.1.111.2', 5080, '88911', '0.006 60/60');
select world.peer_option('s111-cheap', 'login', 'trunk:carrier.example:trunk-secret');
