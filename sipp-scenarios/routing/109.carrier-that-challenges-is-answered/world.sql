select world.chain('s109', '88909');
select world.carrier_of('s109-reseller', 's109-cheap', '127.1.109.1', 5080, '88909', '0.004 60/60');
select world.peer_option('s109-cheap', 'login', 'trunk:carrier.example:trunk-secret');
