select world.chain('s50', '88850');
select world.carrier_of('s50-reseller', 's50-cheap', '127.1.50.1', 5080, '88850', '0.004 60/60');
select world.subscriber('bob@s50.example', 's50-customer', 'demo-secret', '888501000002');
select world.did('888501000002', 'bob@s50.example');
select world.lock('s50-reseller', 'foreign');
