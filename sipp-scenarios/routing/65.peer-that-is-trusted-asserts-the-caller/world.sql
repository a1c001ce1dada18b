select world.chain('s65', '88865');
select world.carrier_of('s65-reseller', 's65-peer', '127.1.65.1', 5080, '88865', '0.004 60/60');
select world.did('888650000001', 'alice@s65.example');
