select world.chain('s119', '88919');
select world.carrier_of('s119-reseller', 's119-peer', '127.1.119.1', 5080, '88919', '0.004 60/60');
select world.did('889190000001', 'alice@s119.example');
