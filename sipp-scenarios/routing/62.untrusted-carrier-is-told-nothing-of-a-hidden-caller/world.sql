select world.chain('s62', '88862');
select world.carrier_of('s62-reseller', 's62-cheap', '127.1.62.1', 5080, '88862', '0.004 60/60');
select world.peer_option('s62-cheap', 'is_trusted', 'false');
