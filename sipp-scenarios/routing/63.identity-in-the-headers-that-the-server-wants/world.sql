select world.chain('s63', '88863');
select world.carrier_of('s63-reseller', 's63-cheap', '127.1.63.1', 5080, '88863', '0.004 60/60');
select world.peer_option('s63-cheap', 'identity_headers', 'rpid,ppi');
select world.peer_option('s63-cheap', 'identity_host', 'trunk.example');
