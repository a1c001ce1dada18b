select world.chain('s66', '88866');
select world.carrier_of('s66-reseller', 's66-peer', '127.1.66.1', 5080, '88866', '0.004 60/60');
select world.did('888660000001', 'alice@s66.example');
select world.peer_option('s66-peer', 'is_trusted', 'false');
