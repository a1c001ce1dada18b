select world.chain('s110', '88910');
select world.carrier_of('s110-reseller', 's110-cheap', '127.1.110.1', 5080, '88910', '0.004 60/60');
select world.carrier_of('s110-reseller', 's110-dear', '127.1.110.2', 5080, '88910', '0.006 60/60');
select world.peer_option('s110-cheap', 'login', 'trunk:carrier.example:trunk-secret');
