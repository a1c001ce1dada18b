select world.chain('s107', '88907');
select world.carrier_of('s107-reseller', 's107-cheap', '127.1.107.1', 5080, '88907', '0.004 60/60');
select world.peer_option('s107-cheap', 'redirects', 'true');
