select world.chain('s25', '88825');
select world.carrier_of('s25-reseller', 's25-peer', '127.1.25.1', 5080, '88825', '0.004 60/60');
select world.did('888251000001', 'alice@s25.example');
