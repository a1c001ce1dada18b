select world.chain('s08', '88808');
select world.carrier_of('s08-reseller', 's08-peer', '127.1.8.1', 5080, '88808', '0.004 60/60');
select world.did('888081000001', 'alice@s08.example');
select world.inbound('s08-peer', 'from', 'user', '^[+]?[1-8][0-9]{6,14}$', 488, 'Callers Are E.164 Only');
