select world.chain('u58', '88658');
select world.carrier_of('u58-reseller', 'u58-carrier', '127.2.58.1', 5080, '88658', '0.004 60/60');
select world.subscriber('desk@u58.example', 'u58-customer', 'demo-secret', null);
select world.user('u58-eva', 'u58-customer', 'desk@u58.example');
