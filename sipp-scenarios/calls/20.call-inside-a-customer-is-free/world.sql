select world.chain('s20', '88820');
select world.subscriber('bob@s20.example', 's20-customer', 'demo-secret', '888201000002');
select world.did('888201000002', 'bob@s20.example');
select world.carrier_of('s20-reseller', 's20-cheap', '127.1.20.1', 5080, '88820', '0.004 60/60');
