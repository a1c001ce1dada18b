select world.chain('s72', '88872');
select world.carrier_of('s72-reseller', 's72-peer', '127.1.72.1', 5080, '88872', '0.004 60/60');
select world.did('888720000001', 'alice@s72.example');
select world.inbound('s72-peer', 'from', 'domain', '^peer\.example', null, null);
