select world.chain('s07', '88807');
select world.carrier_of('s07-reseller', 's07-peer', '127.1.7.1', 5080, '88807', '0.004 60/60');
select world.did('888071000001', 'alice@s07.example');
