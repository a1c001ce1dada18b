select world.chain('s73', '88873');
select world.carrier_of('s73-reseller', 's73-peer', '127.1.73.1', 5080, '88873', '0.004 60/60');
select world.did('888730000001', 'alice@s73.example');
select world.inbound('s73-peer', 'pai', 'user', '^[+]?[1-9][0-9]{6,14}', 428, 'Use Identity Header');
